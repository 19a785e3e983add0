//! What is said on stderr, without ever waiting for whoever reads it.
//!
//! Stderr may be a pipe that nobody reads, or a terminal that was stopped. A thread of its own writes; whoever says
//! something gives it a moment, so that things come in order, and goes on.

use std::{
    io::{self, Write as _},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::printable::Printable;

/// How long somebody who says something waits for it to be written, where stderr has room: then it is the machine that
/// is busy. Where it has none, nobody waits.
const MOMENT: Duration = Duration::from_secs(2);

/// Texts that may wait. What comes on top is left out.
const WAITING: usize = 64;

/// The writing thread has not come back.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

/// Clears the line.
const CLEAR: &str = "\r\x1b[K";

/// A line is shown that others write over: see [`show`].
static IS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Something to write.
struct Text {
    bytes: Vec<u8>,
    written: SyncSender<()>,
}

/// Says a sentence on a line of its own.
pub(super) fn say(sentence: &(impl AsRef<str> + ?Sized)) {
    let sentence = Printable::of(sentence.as_ref());
    write(format!("{}isol-trace: {sentence}\n", clearing()));
}

/// Says lines that stand for themselves.
pub(super) fn say_lines<'a>(lines: impl IntoIterator<Item = &'a str>) {
    let mut text = clearing().to_owned();
    for line in lines {
        text.push_str(&Printable::of(line).to_string());
        text.push('\n');
    }
    write(text);
}

/// Shows a line of a terminal, without an end, until something else is shown or said: none of it comes from others.
pub(super) fn show(line: &str) {
    IS_SHOWN.store(true, Ordering::Relaxed);
    write(format!("{CLEAR}{line}"));
}

/// Takes away the line that is shown.
pub(super) fn clear() {
    if !clearing().is_empty() {
        write(CLEAR.to_owned());
    }
}

/// What to write first, where a line is shown. From then on none is.
fn clearing() -> &'static str {
    if IS_SHOWN.swap(false, Ordering::Relaxed) {
        CLEAR
    } else {
        ""
    }
}

/// Writes text as it is: none of it comes from others.
fn write(text: String) {
    static WRITER: OnceLock<Option<SyncSender<Text>>> = OnceLock::new();
    let Some(writer) = WRITER.get_or_init(start) else {
        // No thread is to be had: then it has to be waited for.
        let _ = io::stderr().write_all(text.as_bytes());
        return;
    };
    let (written, is_written) = sync_channel(1);
    let text = Text {
        bytes: text.into_bytes(),
        written,
    };
    // A stderr that takes nothing is no reason to stop.
    if writer.try_send(text).is_ok()
        && !IS_STUCK.load(Ordering::Relaxed)
        && has_room()
        && is_written.recv_timeout(MOMENT).is_err()
    {
        IS_STUCK.store(true, Ordering::Relaxed);
    }
}

/// Whether stderr takes something at once.
fn has_room() -> bool {
    let stderr = io::stderr();
    let mut asked = [PollFd::new(&stderr, PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

fn start() -> Option<SyncSender<Text>> {
    let (sender, texts) = sync_channel(WAITING);
    let thread = thread::Builder::new().name("isol-trace-says".to_owned());
    thread.spawn(move || write_out(&texts)).ok()?;
    Some(sender)
}

fn write_out(texts: &Receiver<Text>) {
    for text in texts {
        // A closed stderr is no reason to stop.
        let _ = io::stderr().write_all(&text.bytes);
        IS_STUCK.store(false, Ordering::Relaxed);
        let _ = text.written.send(());
    }
}
