//! The top lines: what is watched and how, the sums, and what is wrong.

use isol_trace_common::cause::Cause;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use crate::{
    event::model::{Detection, Header},
    tui::{
        App,
        notices::{Notice, Weight, notices},
        text,
        theme::Theme,
    },
};

/// A part of a line that goes when there is no room: the highest number first.
struct Part {
    rank: u8,
    span: Span<'static>,
}

fn part(rank: u8, text: impl Into<String>, style: Style) -> Part {
    Part {
        rank,
        span: Span::styled(text.into(), style),
    }
}

/// What stands above everything else, in at most so many lines.
pub(super) fn lines(app: &App, theme: Theme, width: u16, most: usize) -> Vec<Line<'static>> {
    let width = usize::from(width);
    let mut lines = vec![identity(app, theme, width)];
    if most > 1 {
        lines.push(sums(app, theme, width));
    }
    let notices = notices(app.model());
    lines.extend(notice_lines(
        &notices,
        theme,
        width,
        most.saturating_sub(lines.len()),
    ));
    lines
}

/// Draws lines from the top.
pub(super) fn render(lines: &[Line<'static>], area: Rect, buffer: &mut Buffer) {
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        buffer.set_line(area.x, y, line, area.width);
    }
}

/// Where, what is watched and how, and at the right how long; a state of the screen beside it.
fn identity(app: &App, theme: Theme, width: usize) -> Line<'static> {
    let model = app.model();
    let mut left = vec![part(1, "isol-trace", theme.strong())];
    if let Some(header) = &model.header {
        left.push(part(5, header.host.clone(), Style::new()));
        left.push(part(6, header.kernel.clone(), Style::new()));
        let cpus = text::cpu_list(header.cpus.iter().map(|(cpu, _)| *cpu));
        let cpus = format!("CPU {}", text::fit(&cpus, (width / 6).max(8)));
        left.push(part(3, cpus, theme.strong()));
        let by = format!("by {}", detection(header));
        left.push(part(4, by, Style::new()));
    }
    let mut right = Vec::new();
    if let Some(meanwhile) = app.meanwhile() {
        let mut state = format!(" PAUSED +{}", text::short_count(meanwhile.entries));
        state.push_str(if meanwhile.entries == 1 {
            " entry"
        } else {
            " entries"
        });
        if meanwhile.lost > 0 {
            state.push_str(", lost ");
            state.push_str(&text::short_count(meanwhile.lost));
        }
        if meanwhile.ended {
            state.push_str(", ended");
        }
        state.push(' ');
        right.push(part(0, state, theme.reversed()));
    }
    if model.ended.is_some() {
        right.push(part(0, " ENDED ", theme.reversed()));
    }
    if let Some(elapsed) = model.elapsed() {
        right.push(part(2, text::clock(elapsed), theme.strong()));
    }
    both_ends(left, right, width)
}

/// What the watched CPUs did, in sum.
fn sums(app: &App, theme: Theme, width: usize) -> Line<'static> {
    let model = app.model();
    let mut left = Vec::new();
    match (model.sum(|cpu| cpu.entries), model.rates.all()) {
        (Some(0), _) if model.last.is_empty() => {
            left.push(part(0, "no kernel entry", theme.good()));
        }
        (Some(entries), rate) => {
            let entries = text::counted(entries, "kernel entry", "kernel entries");
            left.push(part(0, entries, theme.strong()));
            if let Some(rate) = rate {
                left.push(part(2, format!("{}/s", text::rate(rate)), Style::new()));
            }
        }
        (None, _) => left.push(part(0, "no totals yet", theme.faint())),
    }
    if let Some(worst) = model.worst() {
        let worst = format!("worst {}", text::duration(worst));
        left.push(part(3, worst, Style::new()));
    }
    if let Some(share) = model.share() {
        let share = format!("in kernel {}", text::share(share));
        left.push(part(4, share, Style::new()));
    }
    let filtered = model.sum(|cpu| cpu.filtered).unwrap_or(0);
    if filtered > 0 {
        let filtered = format!("filtered {}", text::short_count(filtered));
        left.push(part(6, filtered, Style::new()));
    }
    both_ends(left, Vec::new(), width)
}

/// How entries are found, for all CPUs in one word or two.
fn detection(header: &Header) -> String {
    let count = |wanted| header.cpus.iter().filter(|(_, by)| *by == wanted).count();
    let (complete, derived) = (count(Detection::ContextTracking), count(Detection::Vectors));
    match (complete, derived) {
        (_, 0) => Detection::ContextTracking.word().to_owned(),
        (0, _) => Detection::Vectors.word().to_owned(),
        _ => format!(
            "{} ({complete}), {} ({derived})",
            Detection::ContextTracking.word(),
            Detection::Vectors.word()
        ),
    }
}

/// Parts from the left and from the right; those of the highest rank go until the rest fits.
fn both_ends(mut left: Vec<Part>, mut right: Vec<Part>, width: usize) -> Line<'static> {
    let taken = |left: &[Part], right: &[Part]| -> usize {
        let parts = left.iter().chain(right);
        let widths: usize = parts.map(|part| part.span.width() + 2).sum();
        widths.saturating_sub(2)
    };
    while taken(&left, &right) > width && left.len() + right.len() > 1 {
        let ranks = left.iter().chain(&right).map(|part| part.rank);
        let Some(worst) = ranks.max() else { break };
        if let Some(index) = left.iter().rposition(|part| part.rank == worst) {
            left.remove(index);
        } else if let Some(index) = right.iter().rposition(|part| part.rank == worst) {
            right.remove(index);
        }
    }
    let free = width.saturating_sub(taken(&left, &right));
    let mut spans = Vec::new();
    for part in left {
        spans.push(part.span);
        spans.push(Span::raw("  "));
    }
    if !right.is_empty() {
        spans.push(Span::raw(" ".repeat(free)));
    }
    for (index, part) in right.into_iter().enumerate() {
        if index > 0 {
            spans.push(Span::raw("  "));
        }
        spans.push(part.span);
    }
    Line::from(spans)
}

/// Notices, as many to a line as fit; each begins with a sign of its weight.
fn notice_lines(notices: &[Notice], theme: Theme, width: usize, most: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (index, notice) in notices.iter().enumerate() {
        let (sign, style) = match notice.weight {
            Weight::Alarm => ("!", theme.alarm()),
            Weight::Warning => ("~", theme.warning()),
        };
        let words = format!("{sign} {}", notice.text);
        let rest = notices.len() - index;
        if let Some(line) = lines.last_mut()
            && line.width() + 2 + text::width(&words) <= width
        {
            line.push_span(Span::raw("  "));
            line.push_span(Span::styled(words, style));
        } else if lines.len() < most {
            lines.push(Line::from(Span::styled(text::fit(&words, width), style)));
        } else {
            if let Some(line) = lines.last_mut() {
                let more = format!("  ! +{rest} more");
                let room = width.saturating_sub(text::width(&more));
                if line.width() > room {
                    let whole: String = line.spans.iter().map(|span| &*span.content).collect();
                    *line = Line::from(Span::styled(text::fit(&whole, room), theme.alarm()));
                }
                line.push_span(Span::styled(more, theme.alarm()));
            }
            break;
        }
    }
    lines
}

/// A cause's style in the lists: the unknown one must not be overlooked.
pub(super) fn cause_style(cause: Cause, theme: Theme) -> Style {
    if cause == Cause::Unknown {
        theme.alarm()
    } else {
        Style::new()
    }
}
