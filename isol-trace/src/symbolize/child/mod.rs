//! What runs in the symbolizer: a process of its own that parses what strangers wrote, and can open nothing.
//!
//! The tracer starts it (`symbolize::parent::symbolizer`) as its own program with the hidden first word [`WORD`], and a
//! socket for standard input. It gives up what it could do harm with (`sandbox`), says so, and answers questions
//! (`shared::protocol`) until the tracer closes the socket, ends, or ends it. [`parse`] reads the files' bytes; `line` is
//! the socket, `images` and `compilers` keep what was read, and `answers` puts an answer together.

mod answers;
mod compilers;
mod images;
mod line;
pub mod parse;
mod sandbox;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _},
    os::fd::AsFd as _,
    process::ExitCode,
};

use rustix::process::Pid;

use self::{answers::Answers, line::Line};
use super::shared::{
    maps,
    protocol::{Order, Report},
};

/// The first word of the command line that makes this program a symbolizer.
pub const WORD: &str = "__symbolizer";

/// Bytes of the vDSO; it has two or three pages.
const VDSO: u64 = 1 << 20;

/// Is the symbolizer until the tracer needs it no more.
#[must_use]
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // To the tracer, whose pipe this is, or to who typed that word.
            let _ = writeln!(
                io::stderr(),
                "isol-trace: {WORD} is started by isol-trace itself, with a socket for stdin: {error}"
            );
            ExitCode::from(2)
        }
    }
}

fn serve() -> io::Result<()> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut line = Line::new(stdin.as_fd());
    let Some((Order::Begin(allowance), _)) = line.take()? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let tracer = i32::try_from(allowance.tracer).ok().and_then(Pid::from_raw);
    sandbox::end_with(tracer)?;
    // What `ps` shows; else it would be the name of a link in `/proc`.
    rustix::thread::set_name(c"isol-symbolizer")?;
    let vdso = own_vdso();
    sandbox::close_the_rest()?;
    let confinement = sandbox::confine(allowance)?;
    line.say(&Report::Ready(confinement))?;
    let mut answers = Answers::new(allowance, vdso);
    while let Some((order, file)) = line.take()? {
        let Order::Ask(number, payer, question) = order else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let answer = answers.to(question, payer, file, &mut line.about(number))?;
        line.say(&Report::Done(number, answer))?;
    }
    Ok(())
}

/// The code that the kernel maps into every process of a kind, this one too.
fn own_vdso() -> Option<Box<[u8]>> {
    let mut text = Vec::new();
    let mut own = File::open("/proc/self/maps").ok()?;
    own.read_to_end(&mut text).ok()?;
    let all = maps::UserMaps::parse(&text);
    let mapping = all.named("[vdso]")?;
    let length = mapping
        .end
        .checked_sub(mapping.start)
        .filter(|it| *it <= VDSO)?;
    let mut image = vec![0; usize::try_from(length).ok()?];
    let mut memory = File::open("/proc/self/mem").ok()?;
    memory.seek(SeekFrom::Start(mapping.start)).ok()?;
    memory.read_exact(&mut image).ok()?;
    Some(image.into())
}

#[cfg(test)]
pub(crate) mod tests;
