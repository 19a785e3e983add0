//! The terminal: taken over by [`TerminalGuard`], given back on every exit.
//!
//! Given back means: cooked mode, the cursor, and the screen as it was before. The
//! guard does it when it is dropped, and a panic hook does it before the panic's own
//! message is printed, which would otherwise go to a screen that is about to vanish.

use std::{
    io::{self, BufWriter, IsTerminal as _, Stdout, Write},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    execute, queue,
    style::ResetColor,
    terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
};
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};

/// Bytes gathered for one write to the terminal: a full screen of 120 by 40 fits.
const BUFFER: usize = 32 * 1024;

/// The size of a terminal that cannot tell its own.
const USUAL: (u16, u16) = (80, 24);

/// The most characters of a terminal that are drawn: a wall of screens has fewer. Each takes some 40 bytes, twice.
const MOST: u32 = 1 << 20;

/// The terminal is ours: what has to be undone before the process may end.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The panic hook is in place.
static HOOK: Once = Once::new();

/// A terminal to draw on.
pub type Screen = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// Shows the alternate screen without a cursor.
pub fn enter(out: &mut impl Write) -> io::Result<()> {
    execute!(out, EnterAlternateScreen, Hide)
}

/// Undoes [`enter`] and whatever style was left on.
///
/// The alternate screen is emptied first, cursor at its top: tmux 3.3 carries rows of
/// one that was resized over to the usual screen, and some terminals have only one.
pub fn leave(out: &mut impl Write) -> io::Result<()> {
    execute!(
        out,
        ResetColor,
        Clear(ClearType::All),
        MoveTo(0, 0),
        Show,
        LeaveAlternateScreen
    )
}

/// Gives the terminal back, once.
fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // There is nobody left to tell of an error here, and no other way to restore it.
        let _left = leave(&mut io::stdout());
        let _cooked = terminal::disable_raw_mode();
    }
}

/// Holds the terminal; dropping it gives the terminal back.
#[derive(Debug)]
pub struct TerminalGuard(());

impl TerminalGuard {
    /// Takes the terminal over. Fails with a sentence where standard output is none.
    pub fn take() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the dashboard needs a terminal on its standard output; \
                 run `isol-trace record` to write a log instead",
            ));
        }
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
        });
        terminal::enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Self(());
        enter(&mut io::stdout())?;
        Ok(guard)
    }

    /// Whether the terminal is still ours: a panic elsewhere gives it back.
    #[must_use]
    pub fn holds(&self) -> bool {
        TAKEN.load(Ordering::SeqCst)
    }

    /// What to draw on.
    pub fn screen(&self) -> io::Result<Screen> {
        let backend = CrosstermBackend::new(BufWriter::with_capacity(BUFFER, io::stdout()));
        let viewport = match terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => {
                require_sense(columns, rows)?;
                Viewport::Fullscreen
            }
            // A serial line knows no size: the terminal at its other end is asked once.
            Ok(_) | Err(_) => {
                let (columns, rows) = ask_size(&mut io::stdout()).unwrap_or(USUAL);
                Viewport::Fixed(Rect::new(0, 0, columns, rows))
            }
        };
        Terminal::with_options(backend, TerminalOptions { viewport })
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        restore();
    }
}

/// Fails where a terminal says that it is larger than any: memory for it could not be had.
pub fn require_sense(columns: u16, rows: u16) -> io::Result<()> {
    if u32::from(columns) * u32::from(rows) <= MOST {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "it says that it has {columns} columns and {rows} rows: tell it its size, with `stty rows 50 cols 160`"
        ),
    ))
}

/// Sends the cursor far beyond the last corner and asks where it ended up.
fn ask_size(out: &mut impl Write) -> io::Result<(u16, u16)> {
    queue!(out, MoveTo(998, 998))?;
    out.flush()?;
    let (column, row) = crossterm::cursor::position()?;
    Ok((column.saturating_add(1), row.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_no_terminal_has_is_refused() {
        require_sense(1000, 1000).unwrap();
        let error = require_sense(u16::MAX, u16::MAX).unwrap_err();
        assert!(error.to_string().contains("65535 columns"), "{error}");
    }

    #[test]
    fn leaving_undoes_what_entering_did() {
        let (mut entered, mut left) = (Vec::new(), Vec::new());
        enter(&mut entered).unwrap();
        leave(&mut left).unwrap();
        let (entered, left) = (
            String::from_utf8(entered).unwrap(),
            String::from_utf8(left).unwrap(),
        );
        for mode in ["?1049", "?25"] {
            let switches = |text: &str| {
                let at = text.find(mode)?;
                text[at + mode.len()..].chars().next()
            };
            let (on, off) = (switches(&entered), switches(&left));
            assert!(
                matches!((on, off), (Some('h'), Some('l')) | (Some('l'), Some('h'))),
                "mode {mode} is set by {entered:?} and not reset by {left:?}"
            );
        }
        let set = entered.matches("\u{1b}[?").count();
        assert_eq!(
            set,
            left.matches("\u{1b}[?").count(),
            "every mode that is set is reset"
        );
        assert!(left.starts_with("\u{1b}[0m"), "style first: {left:?}");
        assert!(
            left.ends_with("\u{1b}[?1049l"),
            "the old screen last: {left:?}"
        );
    }

    #[test]
    fn an_error_of_the_terminal_is_passed_on() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
        assert_eq!(kind(enter(&mut Gone)), Err(io::ErrorKind::BrokenPipe));
        assert_eq!(kind(leave(&mut Gone)), Err(io::ErrorKind::BrokenPipe));
    }
}
