//! A uprobe: a breakpoint of the kernel's own, in a program's file.

use std::{fs, io::Write as _};

use anyhow::{Context, Result, ensure};

use super::{
    super::{super::sys::Code, Trigger},
    row,
};

/// The program.
const PROGRAM: &str = "/tmp/uprobed";

/// The kernel's list of uprobes.
const EVENTS: &str = "/sys/kernel/tracing/uprobe_events";

/// Switches ours on and off.
const ENABLE: &str = "/sys/kernel/tracing/events/uprobes/truth/enable";

/// The rows.
pub(in super::super) const ROWS: &[Trigger] = &[
    row(
        "uprobed",
        "code with a uprobe",
        |actor| {
            let code = probed()?;
            let done = actor.perform(|| code.run());
            take_off()?;
            done
        },
        None,
    ),
    row(
        "uprobed_mended",
        "the same code, once the uprobe is taken off",
        |actor| {
            let code = probed()?;
            take_off()?;
            let left = fs::read_to_string(EVENTS).context(EVENTS)?;
            ensure!(left.is_empty(), "there is a uprobe still: {left}");
            // The page that had the breakpoint is gone, and that of the file comes in its place by a fault
            // (`kernel/events/uprobes.c:__replace_page`, v6.12).
            code.run();
            actor.perform(|| code.run())
        },
        None,
    ),
];

/// Code with a uprobe that was hit once.
fn probed() -> Result<Code> {
    let code = Code::of_file(PROGRAM).context(PROGRAM)?;
    tell(&format!("p:truth {PROGRAM}:0x0"))?;
    fs::write(ENABLE, "1").context(ENABLE)?;
    code.run();
    Ok(code)
}

/// As the text says.
fn take_off() -> Result<()> {
    fs::write(ENABLE, "0").context(ENABLE)?;
    tell("-:truth")
}

fn tell(command: &str) -> Result<()> {
    // Written from its beginning, the list would be emptied.
    let mut events = fs::OpenOptions::new().append(true).open(EVENTS)?;
    events.write_all(command.as_bytes()).context(EVENTS)
}
