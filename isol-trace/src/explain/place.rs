//! Where a program was: of a stack the frame that a person wrote.

use std::sync::Arc;

use super::frame::Frame;
use crate::event::model::{Breach, Unlogged};

/// Where a stack is in the program itself: `at feed.rs:42 in publish(), called from main`. Empty
/// where nothing is known.
pub(super) fn of_stack(stack: &[Arc<str>], call: Option<&str>) -> String {
    of_frames(stack, call, true)
        .or_else(|| of_frames(stack, call, false))
        .unwrap_or_default()
}

/// Where a task was: by its stack, else by the breach.
pub(super) fn of_task(stack: &[Arc<str>], breach: Option<&Breach>, call: Option<&str>) -> String {
    let by_line = of_frames(stack, call, true);
    let by_breach = || breach.and_then(|breach| of_breach(breach, call));
    by_line
        .or_else(|| by_breach().filter(|(_, is_told)| *is_told).map(|it| it.0))
        .or_else(|| of_frames(stack, call, false))
        .or_else(|| by_breach().map(|it| it.0))
        .unwrap_or_default()
}

/// The innermost own frame; one with a source line if `with_line`.
fn of_frames(stack: &[Arc<str>], call: Option<&str>, with_line: bool) -> Option<String> {
    let mut own = stack
        .iter()
        .map(|frame| Frame::read(frame))
        .filter(|frame| frame.is_own(call));
    let inner = own.find(|frame| frame.source.is_some() || !with_line)?;
    let place = words(&inner);
    Some(match own.next() {
        Some(caller) => format!("{place}, called from {}", caller.name),
        None => place,
    })
}

/// Where a breach says that the task was, and whether by a line of the program itself.
fn of_breach(breach: &Breach, call: Option<&str>) -> Option<(String, bool)> {
    let location = breach.location.as_deref().unwrap_or_default();
    let outer = Frame::at(location, breach.source.as_deref());
    // A function of a library that was inlined there is not where the mistake is.
    let inlined = breach.inlined.iter().map(|it| Frame::read(it));
    let frame = inlined
        .filter(|it| it.source.is_some())
        .find(|it| it.is_own(call))
        .unwrap_or(outer);
    if frame.source.is_none() && location.is_empty() {
        return (breach.ip.0 != 0).then(|| (format!("at {}", breach.ip), false));
    }
    let is_told = frame.source.is_some() && frame.is_own(call);
    Some((words(&frame), is_told))
}

/// A breach's place for one line.
pub(super) fn of_entry(breach: &Breach) -> String {
    of_breach(breach, None).map_or_else(String::new, |(place, _)| place)
}

/// The place of an entry without its record, for one line.
pub(super) fn of_unlogged(entry: &Unlogged) -> String {
    let location = entry.location.as_deref().unwrap_or_default();
    if location.is_empty() && entry.source.is_none() {
        return format!("at {}", entry.ip);
    }
    words(&Frame::at(location, entry.source.as_deref()))
}

fn words(frame: &Frame<'_>) -> String {
    match (frame.source, frame.name) {
        (Some(source), "") => format!("at {source}"),
        (Some(source), _) => format!("at {source} in {}", frame.spoken()),
        (None, _) => format!("in {}", frame.spoken()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::ids::MonoNanos, tui::sample};

    #[test]
    fn a_library_that_was_inlined_is_not_the_place() {
        let place = |inlined: &[&str]| {
            let breach = Breach {
                location: Some("work+0x2e".into()),
                source: Some("feed.rs:42".into()),
                inlined: inlined.iter().map(|it| (*it).into()).collect(),
                ..sample::breach(1, 1, MonoNanos(1), 0)
            };
            of_entry(&breach)
        };
        let library = "call_once<fn()> (library/core/src/ops/function.rs:250)";
        let own = "scan (feed.rs:50)";
        assert_eq!(place(&[]), "at feed.rs:42 in work()");
        assert_eq!(place(&[library]), "at feed.rs:42 in work()");
        assert_eq!(place(&[own]), "at feed.rs:50 in scan()");
        assert_eq!(place(&[library, own]), "at feed.rs:50 in scan()");
    }
}
