//! What is seen, through which probes, and at what cost.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{grid::rule, scrolled};
use crate::{
    event::model::{Detection, Header, ProbeState, ProbeVerdict, TracerSummary},
    tui::{App, text, theme::Theme},
};

/// Draws the screen. Gives how far it could be scrolled, and the lines there is room for.
pub(super) fn render(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) -> (usize, usize) {
    let top = Rect {
        height: area.height.min(1),
        ..area
    };
    let body = Rect {
        x: area.x + 1.min(area.width),
        y: area.y + top.height,
        width: area.width.saturating_sub(1),
        height: area.height - top.height,
    };
    let model = app.model();
    let Some(header) = &model.header else {
        rule(top, buffer, theme, true, "Probes", "");
        return scrolled(&[Line::from("not known yet")], 0, body, buffer);
    };
    let title = format!("Probes ({})", header.probes.len());
    rule(top, buffer, theme, true, &title, "");
    let width = usize::from(body.width);
    let mut lines = detection(header, theme, width);
    lines.extend(tracer(model.tracer.as_ref(), theme, width));
    lines.push(Line::default());
    lines.extend(verdicts(&header.probes, theme, width));
    scrolled(&lines, app.ui().probes_scroll, body, buffer)
}

/// A paragraph with a hanging indent after its first word.
fn paragraph(
    word: &str,
    indent: usize,
    text: &str,
    style: Style,
    width: usize,
) -> Vec<Line<'static>> {
    let mut lines = text::wrap(text, width.saturating_sub(indent).max(1));
    if lines.is_empty() {
        lines.push(String::new());
    }
    let line = |(index, line): (usize, String)| {
        let word = if index == 0 { word } else { "" };
        let word = text::fit(word, indent.saturating_sub(1));
        let pad = " ".repeat(indent.saturating_sub(text::width(&word)));
        Line::from(vec![
            Span::styled(word, style),
            Span::raw(pad),
            Span::raw(line),
        ])
    };
    lines.into_iter().enumerate().map(line).collect()
}

/// Where, and how entries are found there.
fn detection(header: &Header, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let host = format!("{}, {} {}", header.host, header.kernel, header.arch);
    let mut lines = paragraph("host", 18, &host, Style::new(), width);
    for wanted in [Detection::ContextTracking, Detection::Vectors] {
        let cpus = header.cpus.iter().filter(|(_, by)| *by == wanted);
        let cpus = text::cpu_list(cpus.map(|(cpu, _)| *cpu));
        if cpus.is_empty() {
            continue;
        }
        let (style, what) = match wanted {
            Detection::ContextTracking => (theme.good(), "the kernel's own marks: complete"),
            Detection::Vectors => (theme.warning(), "derived from the causes' tracepoints"),
        };
        let what = format!("CPU {cpus}: {what}");
        lines.extend(paragraph(wanted.word(), 18, &what, style, width));
    }
    for spot in &header.blind_spots {
        lines.extend(paragraph("not seen", 18, spot, theme.warning(), width));
    }
    let housekeeping = text::cpu_list(header.housekeeping.iter().copied());
    let housekeeping = format!("CPU {housekeeping}: isol-trace runs only there");
    let plain = Style::new();
    lines.extend(paragraph("housekeeping", 18, &housekeeping, plain, width));
    lines
}

fn tracer(tracer: Option<&TracerSummary>, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let Some(tracer) = tracer else {
        return paragraph("own noise", 18, "not measured yet", Style::new(), width);
    };
    let measured =
        |count: Option<u64>| count.map_or_else(|| "not measured".to_owned(), text::count);
    let style = if tracer.breaches > 0 {
        theme.alarm()
    } else {
        theme.good()
    };
    let own = format!(
        "{} while armed; attaching {}, detaching {}",
        text::counted(tracer.breaches, "breach", "breaches"),
        measured(tracer.attach_breaches),
        measured(tracer.detach_breaches),
    );
    let mut lines = paragraph("own noise", 18, &own, style, width);
    if let Some(senders) = tracer.lost_senders.filter(|&senders| senders > 0) {
        let lost = format!(
            "{} found no room: what they led to has an unknown origin",
            text::counted(senders, "sender", "senders")
        );
        lines.extend(paragraph("senders", 18, &lost, style, width));
    }
    for (program, runs) in &tracer.missed_runs {
        let missed = format!(
            "{program}: {} that the kernel skipped",
            text::counted(*runs, "run", "runs")
        );
        lines.extend(paragraph("missed runs", 18, &missed, theme.alarm(), width));
    }
    lines
}

fn verdicts(probes: &[ProbeVerdict], theme: Theme, width: usize) -> Vec<Line<'static>> {
    let rank = |probe: &ProbeVerdict| match probe.state {
        ProbeState::Failed { .. } => 0,
        ProbeState::Absent { .. } => 1,
        ProbeState::Attached => 2,
    };
    let mut probes: Vec<&ProbeVerdict> = probes.iter().collect();
    probes.sort_by_key(|probe| (rank(probe), &*probe.name));
    let names = probes.iter().map(|probe| text::width(&probe.name)).max();
    let names = names.unwrap_or(0).min(width / 2);
    let line = |probe: &&ProbeVerdict| {
        let (word, why, style) = match &probe.state {
            ProbeState::Failed { why } => ("! failed", why.as_str(), theme.alarm()),
            ProbeState::Absent { why } => ("- absent", why.as_str(), theme.warning()),
            ProbeState::Attached => ("  attached", "", Style::new()),
        };
        let name = text::fit(&probe.name, names);
        let pad = " ".repeat(names.saturating_sub(text::width(&name)));
        let mut lines = paragraph(word, 13 + names + 2, why, style, width);
        if let Some(pad_span) = lines.first_mut().and_then(|line| line.spans.get_mut(1)) {
            let gap = " ".repeat(13_usize.saturating_sub(text::width(word)));
            *pad_span = Span::raw(format!("{gap}{name}{pad}  "));
        }
        lines
    };
    probes.iter().flat_map(line).collect()
}
