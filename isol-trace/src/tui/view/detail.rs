//! Everything that is known of one breach.

use isol_trace_common::record::End;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    breaches::{activity_name, moment},
    grid::rule,
    header::cause_style,
    scrolled,
};
use crate::{
    arch::SYSCALL_GATE_32,
    event::{
        ids::{MonoNanos, Nanos, RuleId},
        model::{Breach, CauseDetail, Origin, Sender},
    },
    remedy::{Numbers, Rules},
    tui::{App, app::Pane, model::Kept, rows::cause_words, text, theme::Theme},
};

/// Draws the detail. Gives how far it could be scrolled, and the lines there is room for.
pub(super) fn render(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) -> (usize, usize) {
    let focused = app.ui().pane == Pane::Detail;
    let kept = app.shown_breach();
    let title = kept.map_or_else(
        || "Breach".to_owned(),
        |kept| format!("Breach {}", kept.breach.seq),
    );
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
    let header = app.model().header.as_ref();
    let start = header.map(|header| header.at);
    let host = header.map_or_else(Numbers::default, |it| Numbers::of_header(it));
    let lines = kept.map_or_else(
        || vec![Line::from("No breach is listed.")],
        |kept| lines(kept, start, &host, theme, usize::from(body.width)),
    );
    let room = usize::from(body.height);
    let place = if lines.len() > room && room > 0 {
        let first = app.ui().detail_scroll.min(lines.len() - room);
        format!("lines {}-{} of {}", first + 1, first + room, lines.len())
    } else {
        String::new()
    };
    rule(top, buffer, theme, focused, &title, &place);
    scrolled(&lines, app.ui().detail_scroll, body, buffer)
}

/// Lines of a name and a value; values are wrapped.
struct Facts {
    theme: Theme,
    width: usize,
    lines: Vec<Line<'static>>,
}

/// Columns of the names.
const NAMES: usize = 10;

impl Facts {
    fn add(&mut self, name: &'static str, value: &str, style: Style) {
        let room = self.width.saturating_sub(NAMES).max(1);
        for (index, line) in text::wrap(value, room).into_iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            self.lines.push(Line::from(vec![
                Span::styled(format!("{name:NAMES$}"), self.theme.faint()),
                Span::styled(line, style),
            ]));
        }
    }

    /// Adds values of one name, each on lines of its own.
    fn list(&mut self, name: &'static str, values: impl Iterator<Item = impl AsRef<str>>) {
        for (number, value) in values.enumerate() {
            let name = if number == 0 { name } else { "" };
            self.add(name, value.as_ref(), Style::new());
        }
    }
}

fn lines(
    kept: &Kept,
    start: Option<MonoNanos>,
    host: &Numbers,
    theme: Theme,
    width: usize,
) -> Vec<Line<'static>> {
    let breach = &*kept.breach;
    let mut facts = Facts {
        theme,
        width,
        lines: Vec::new(),
    };
    let plain = Style::new();
    let cause = breach.cause.cause();
    let mut why = cause_words(cause, breach.cause_name.as_ref());
    if let Some(more) = cause_facts(breach) {
        why.push_str(": ");
        why.push_str(&more);
    }
    facts.add(
        "cause",
        &why,
        theme.strong().patch(cause_style(cause, theme)),
    );
    facts.add("task", &task(breach), plain);
    let when = format!(
        "{} s on CPU {}{}",
        moment(breach.at, start),
        breach.cpu,
        match breach.section {
            Some(true) => ", inside its isolated section",
            Some(false) => ", not in an isolated section",
            None => "",
        }
    );
    facts.add("when", &when, plain);
    facts.add("took", &took(kept), plain);
    let ip = format!("ip {}", breach.ip);
    let places = [
        breach.location.as_deref(),
        breach.source.as_deref(),
        Some(&ip),
    ];
    let place: Vec<&str> = places.into_iter().flatten().collect();
    facts.add("at", &place.join(", "), plain);
    facts.list("inlined", breach.inlined.iter());
    origins(breach, &mut facts);
    if let Some(id) = &breach.remedy {
        facts.list("remedy", remedy(id, &host.with(breach)).iter());
    }
    activities(breach, &mut facts);
    stacks(breach, &mut facts);
    facts.lines
}

/// Who provoked it, one a line.
fn origins(breach: &Breach, facts: &mut Facts) {
    if breach.origins.is_empty() {
        facts.add("origins", text::UNKNOWN, Style::default());
    }
    for (number, origin) in breach.origins.iter().enumerate() {
        let label = if number == 0 { "origins" } else { "" };
        facts.add(label, &text::origin(origin), Style::default());
    }
}

/// How those who asked for something got there: in the kernel and, below that, in user mode.
/// Last, because they are long.
fn stacks(breach: &Breach, facts: &mut Facts) {
    let asked = breach.activities.iter().filter_map(|it| it.origin.as_ref());
    let with_stack: Vec<&Sender> = breach
        .origins
        .iter()
        .chain(asked)
        .filter_map(Origin::sender)
        .filter(|sender| !sender.stack.is_empty() || !sender.user_stack.is_empty())
        .collect();
    for sender in &with_stack {
        if with_stack.len() > 1 {
            facts.add("of", &text::who(sender), facts.theme.faint());
        }
        let kernel = sender.stack.iter().map(text::function);
        facts.list("stack", kernel);
        facts.list("in user", sender.user_stack.iter());
    }
}

/// The rule's name, what it says, and its commands with this host's numbers.
fn remedy(id: &RuleId, numbers: &Numbers) -> Vec<String> {
    let rule = Rules::embedded().ok().and_then(|rules| rules.get(id));
    rule.map_or_else(|| vec![id.to_string()], |rule| rule.filled(numbers).lines())
}

fn task(breach: &Breach) -> String {
    let task = &breach.task;
    let comm = task.comm.as_deref().unwrap_or("name not known,");
    match task.pid {
        Some(pid) => format!("{comm} pid {pid} tid {}", task.tid),
        None => format!("{comm} tid {}", task.tid),
    }
}

/// What belongs to the cause beyond its name.
fn cause_facts(breach: &Breach) -> Option<String> {
    match &breach.cause {
        CauseDetail::Syscall {
            number: Some(number),
            args,
        } => {
            let args = args.iter().flatten().map(|arg| format!("{arg:#x}"));
            let args: Vec<String> = args.collect();
            Some(if args.is_empty() {
                format!("nr {number}")
            } else {
                format!("nr {number} ({})", args.join(", "))
            })
        }
        CauseDetail::CompatSyscall { number } => Some(format!("nr {number}, by {SYSCALL_GATE_32}")),
        CauseDetail::Syscall { number: None, .. } => Some("its number was hidden".to_owned()),
        CauseDetail::PageFault {
            address,
            write,
            user,
            fetch,
            protection,
        } => {
            let access = match (fetch, write) {
                (true, _) => "fetch",
                (false, true) => "write",
                (false, false) => "read",
            };
            let why = if *protection {
                "rights forbade it"
            } else {
                "page not present"
            };
            let mode = if *user { "user" } else { "kernel" };
            Some(format!("{access} at {address}, {why}, {mode} mode"))
        }
        CauseDetail::Exception { trap } => trap.map(|trap| format!("trap number {trap}")),
        CauseDetail::DeviceIrq { irq, handler } => Some(match handler {
            Some(handler) => format!("interrupt {irq}, handler {handler}"),
            None => format!("interrupt {irq}"),
        }),
        CauseDetail::Nmi { handler } => handler.map(|handler| format!("handler {handler}")),
        CauseDetail::Plain(_) => None,
    }
}

fn took(kept: &Kept) -> String {
    let breach = &kept.breach;
    let mut took = match breach.kernel_time() {
        Some(time) => format!("{} in the kernel", text::duration(time)),
        None => "not known (`vectors` does not see the end of a page fault)".to_owned(),
    };
    if breach.idle.0 > 0 {
        took = format!("{took} and {} idle", text::duration(breach.idle));
    }
    took.push_str(match breach.end {
        End::Return => ", then back in user mode",
        End::Switched => ", then another task returned",
        End::Exited => ", then the task was dead",
        End::Blocked => ", having slept; then back in user mode",
    });
    if let Some(away) = kept.away {
        took = format!("{took}; back {} later", text::duration(away));
    }
    took
}

/// The activities with their net times, and what of the whole they leave.
fn activities(breach: &Breach, facts: &mut Facts) {
    let count = breach.activities.len();
    let head = match (count, breach.dropped_activities) {
        (0, 0) => "no other kernel work was seen".to_owned(),
        (_, 0) => "net times".to_owned(),
        (_, u8::MAX) => "net times; 255 or more had no room in the record".to_owned(),
        (_, dropped) => format!("net times; {dropped} more had no room in the record"),
    };
    facts.add("then", &head, facts.theme.faint());
    let mut rest = breach.kernel_time();
    let row = |net: Option<Nanos>, kind: &str, name: &str, facts: &mut Facts| {
        let net = text::maybe_duration(net);
        let line = format!("{net:>NAMES$}  {kind:<9} {name}");
        let line = text::fit(line.trim_end(), facts.width);
        facts.lines.push(Line::from(line));
    };
    let mut subtract = |net: Option<Nanos>| {
        rest = match (rest, net) {
            (Some(rest), Some(net)) => rest.0.checked_sub(net.0).map(Nanos),
            _ => None,
        };
    };
    if let Some(net) = breach.cause_net {
        subtract(Some(net));
        let cause = breach.cause.cause().word();
        row(Some(net), "(cause)", cause, facts);
    }
    for item in &breach.activities {
        subtract(item.net);
        let name = activity_name(item).unwrap_or_default();
        let address = match (&item.name, item.address) {
            (Some(_), Some(address)) => address.to_string(),
            _ => String::new(),
        };
        row(
            item.net,
            item.kind.word(),
            &format!("{name:<34} {address}"),
            facts,
        );
        if let Some(origin) = &item.origin {
            let by = format!("{:NAMES$}  {:<9} {}", "", "", text::origin(origin));
            let by = text::fit(&by, facts.width);
            facts.lines.push(Line::styled(by, facts.theme.faint()));
        }
    }
    let any = count > 0 || breach.cause_net.is_some();
    if any && breach.dropped_activities == 0 && rest.is_some() {
        row(rest, "rest", "entry, exit and what has no probe", facts);
    }
}
