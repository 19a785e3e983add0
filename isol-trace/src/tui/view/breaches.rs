//! The live list of breaches, and what it says where it has none.

use std::borrow::Cow;

use isol_trace_common::{cause::Cause, record::End};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    grid::{Cell, Column, Grid, Width, figures, words},
    header::cause_style,
};
use crate::{
    event::{
        ids::{MonoNanos, Nanos},
        model::{ActivityItem, Breach, CauseDetail},
    },
    tui::{
        App,
        app::Pane,
        model::{KEPT, Kept, Model},
        rates::since,
        rows::{Column as _, Only, cause_words},
        text,
        theme::Theme,
    },
};

const COLUMNS: &[Column] = &[
    figures("TIME", 12, 44),
    figures("CPU", 4, 0),
    words("TASK", Width::Fixed(12), 56),
    words("CAUSE", Width::Rest(5), 0),
    figures("KERNEL", 7, 0),
    words("THEN", Width::Rest(4), 68),
    words("AT", Width::Rest(3), 112),
];

/// The column in [`COLUMNS`] of each column of the order.
const ORDERED: &[usize] = &[0, 4, 1, 3];

/// Draws the list and says how many rows there is room for.
pub(super) fn render(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) -> usize {
    let (ui, model) = (app.ui(), app.model());
    let focused = ui.pane == Pane::Breaches;
    let rows = app.breaches();
    let selected = match &ui.breach {
        None => (focused && !rows.is_empty()).then_some(0),
        Some(picked) => rows
            .iter()
            .position(|kept| kept.breach.seq == picked.breach.seq),
    };
    let order = ui.breach_order;
    let grid = Grid {
        theme,
        title: title(ui.only, model),
        focused,
        columns: COLUMNS,
        ordered: (
            ORDERED.get(order.by.index()).copied().unwrap_or(0),
            order.descending(),
        ),
        rows: rows.len(),
        selected,
        empty: nothing(app, theme, usize::from(area.width.saturating_sub(2))),
    };
    let start = model.header.as_ref().map(|header| header.at);
    grid.render(area, buffer, |index| {
        rows.get(index)
            .map(|kept| cells(kept, start, theme))
            .unwrap_or_default()
    })
}

fn title(only: Only, model: &Model) -> String {
    let mut title = "Breaches".to_owned();
    if let Some(cpu) = only.cpu {
        title = format!("{title} of CPU {cpu}");
    }
    if let Some(cause) = only.cause {
        title = format!("{title} by {}", cause.word());
    }
    if model.breaches.len() >= KEPT {
        title = format!("{title}, the last {}", text::count(KEPT as u64));
    }
    title
}

fn cells(kept: &Kept, start: Option<MonoNanos>, theme: Theme) -> Vec<Cell> {
    let breach = &kept.breach;
    let cause = breach.cause.cause();
    let name = cause_name(breach);
    let place = breach.source.as_ref().or(breach.location.as_ref());
    let place = match (&breach.source, &breach.location) {
        (Some(source), Some(location)) => format!("{location} {source}"),
        _ => place.map_or_else(|| breach.ip.to_string(), ToString::to_string),
    };
    vec![
        moment(breach.at, start).into(),
        breach.cpu.to_string().into(),
        breach.task.comm.as_deref().unwrap_or("?").to_owned().into(),
        Cell::styled(
            match name {
                Some(name) => format!("{} {name}", cause.word()),
                None => cause_words(cause, None),
            },
            cause_style(cause, theme),
        ),
        text::maybe_duration(breach.kernel_time()).into(),
        then(breach).into(),
        place.into(),
    ]
}

/// When, since the start where that is known.
pub(super) fn moment(at: MonoNanos, start: Option<MonoNanos>) -> String {
    text::moment(start.map_or(Nanos(at.0), |start| since(start, at)))
}

/// The cause's name, or the number that stands for it.
pub(super) fn cause_name(breach: &Breach) -> Option<Cow<'_, str>> {
    if let Some(name) = breach.cause_name.as_deref() {
        return (name != breach.cause.cause().word()).then_some(Cow::Borrowed(name));
    }
    match &breach.cause {
        CauseDetail::Syscall { number, .. } => number.map(|number| number.to_string().into()),
        CauseDetail::CompatSyscall { number } => Some(number.to_string().into()),
        CauseDetail::PageFault { address, write, .. } => {
            let kind = if *write { "write" } else { "read" };
            Some(format!("{kind} {address}").into())
        }
        CauseDetail::Exception { trap } => trap.map(|trap| format!("trap {trap}").into()),
        CauseDetail::DeviceIrq { irq, .. } => Some(format!("irq {irq}").into()),
        // What cannot be named is shown with where it happened.
        CauseDetail::Plain(Cause::Unknown) => Some(breach.ip.to_string().into()),
        CauseDetail::Nmi { .. } | CauseDetail::Plain(_) => None,
    }
}

/// What the kernel then did, in the words of the list.
fn then(breach: &Breach) -> String {
    let mut parts: Vec<String> = breach.activities.iter().map(activity).collect();
    match breach.end {
        End::Return => {}
        End::Switched => parts.push("away".to_owned()),
        End::Exited => parts.push("exited".to_owned()),
        End::Blocked => parts.push("blocked".to_owned()),
    }
    parts.join(", ")
}

/// An activity in two words.
pub(super) fn activity(item: &ActivityItem) -> String {
    let kind = item.kind.word();
    match activity_name(item) {
        Some(name) if name != kind => format!("{kind} {name}"),
        _ => kind.to_owned(),
    }
}

/// An activity's name, or the number that stands for it.
pub(super) fn activity_name(item: &ActivityItem) -> Option<String> {
    use isol_trace_common::activity::Activity;
    if let Some(name) = item.name.as_ref().or(item.comm.as_ref()) {
        return Some(name.to_string());
    }
    match item.kind {
        Activity::Vector => u8::try_from(item.number)
            .ok()
            .and_then(Cause::from_wire)
            .map(|cause| cause.word().to_owned()),
        Activity::Irq | Activity::Softirq | Activity::Signal => Some(item.number.to_string()),
        Activity::Switch => Some(format!("thread {}", item.number)),
        _ => item.address.map(|address| address.to_string()),
    }
}

/// What an empty list means: mostly that all is well.
fn nothing(app: &App, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let model = app.model();
    let (style, sentence) = match (&model.header, &model.totals) {
        (None, _) => (
            Style::new(),
            "Waiting for the tracer: probes are attached before anything is counted.".to_owned(),
        ),
        (Some(header), Some(_)) if model.entries() == 0 && model.last.is_empty() => {
            let cpus: Vec<_> = header.cpus.iter().map(|(cpu, _)| *cpu).collect();
            let (noun, has) = match cpus.len() {
                1 => ("CPU", "has"),
                _ => ("CPUs", "have"),
            };
            let cpus = text::fit(&text::cpu_list(cpus), 24);
            let time = text::lasted(model.elapsed().unwrap_or_default());
            let sentence = if model.ended.is_some() {
                format!("No kernel entry in {time}: {noun} {cpus} stayed quiet to the end.")
            } else {
                format!("No kernel entry yet: {noun} {cpus} {has} been quiet for {time}.")
            };
            (theme.good(), sentence)
        }
        (Some(_), None) => (Style::new(), "Armed; the first totals are due.".to_owned()),
        (Some(_), Some(_)) if app.ui().only.narrows() && !model.breaches.is_empty() => (
            Style::new(),
            format!(
                "None among the last {}. Backspace shows all of them.",
                text::counted(model.breaches.len() as u64, "breach", "breaches")
            ),
        ),
        (Some(_), Some(_)) => {
            let filtered = model.sum(|cpu| cpu.filtered).unwrap_or(0);
            let entries = text::counted(model.entries(), "entry", "entries");
            let sentence = format!(
                "{entries} so far, none listed: {} filtered, {} lost, {} not sent here.",
                text::count(filtered),
                text::count(model.lost()),
                text::count(model.skipped),
            );
            (Style::new(), sentence)
        }
    };
    let lines = text::wrap(&sentence, width).into_iter();
    lines
        .map(|line| Line::from(Span::styled(line, style)))
        .collect()
}
