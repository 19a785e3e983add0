//! Which key means what.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Leave.
    Quit,
    /// Close what is open; leave where nothing is.
    Escape,
    /// Hold the view, or let it go on.
    Pause,
    /// Order by the next column.
    Sort,
    /// Turn the order round.
    Reverse,
    /// To the next pane.
    NextPane,
    /// To the previous pane.
    PreviousPane,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// Open the detail, or narrow the lists to what is selected.
    Enter,
    /// Widen the lists again.
    Clear,
    /// The keys.
    Help,
    /// The live tables.
    LiveTab,
    /// The probes.
    ProbesTab,
    /// Draw everything anew.
    Repaint,
}

/// The table of keys, as the help shows it.
pub const HELP: &[(&str, &str)] = &[
    ("q Ctrl-C", "quit; Esc too where nothing is open"),
    ("space p", "pause the view; counting goes on"),
    ("Tab", "next table (Shift-Tab: previous)"),
    ("↑↓ j k", "select or scroll; PgUp PgDn Home End"),
    ("Enter", "breach: its detail; CPU, cause: only these"),
    ("Bksp", "all CPUs and causes again"),
    ("s S", "order by the next column; turn it round"),
    ("1 2", "live tables; probes"),
    ("? h", "this help"),
];

/// What a key event asks for, if anything.
#[must_use]
pub fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c' | 'C') => Some(Key::Quit),
            KeyCode::Char('l' | 'L') => Some(Key::Repaint),
            KeyCode::Char('f') => Some(Key::PageDown),
            KeyCode::Char('b') => Some(Key::PageUp),
            // Terminals that send backspace as Ctrl-H.
            KeyCode::Char('h') => Some(Key::Clear),
            _ => None,
        };
    }
    if event
        .modifiers
        .intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META)
    {
        return None;
    }
    let key = match event.code {
        KeyCode::Char('q' | 'Q') => Key::Quit,
        KeyCode::Esc => Key::Escape,
        KeyCode::Char(' ' | 'p') => Key::Pause,
        KeyCode::Char('s') => Key::Sort,
        KeyCode::Char('S') => Key::Reverse,
        KeyCode::Tab => Key::NextPane,
        KeyCode::BackTab => Key::PreviousPane,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Key::First,
        KeyCode::End | KeyCode::Char('G') => Key::Last,
        KeyCode::Enter => Key::Enter,
        KeyCode::Backspace => Key::Clear,
        KeyCode::Char('?' | 'h') => Key::Help,
        KeyCode::Char('1') => Key::LiveTab,
        KeyCode::Char('2') => Key::ProbesTab,
        _ => return None,
    };
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode) -> Option<Key> {
        key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn three_keys_leave() {
        assert_eq!(press(KeyCode::Char('q')), Some(Key::Quit));
        assert_eq!(press(KeyCode::Esc), Some(Key::Escape));
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(key(control_c), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c')), None, "without Ctrl it is no key");
    }

    #[test]
    fn case_tells_sorting_from_reversing() {
        assert_eq!(press(KeyCode::Char('s')), Some(Key::Sort));
        let shifted = KeyEvent::new(KeyCode::Char('S'), KeyModifiers::SHIFT);
        assert_eq!(key(shifted), Some(Key::Reverse));
    }

    #[test]
    fn a_key_counts_when_it_goes_down_and_while_it_is_held() {
        let event = |kind| KeyEvent::new_with_kind(KeyCode::Down, KeyModifiers::NONE, kind);
        assert_eq!(key(event(KeyEventKind::Press)), Some(Key::Down));
        assert_eq!(key(event(KeyEventKind::Repeat)), Some(Key::Down));
        assert_eq!(key(event(KeyEventKind::Release)), None);
    }

    #[test]
    fn alt_and_unknown_keys_do_nothing() {
        assert_eq!(
            key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT)),
            None
        );
        assert_eq!(press(KeyCode::F(5)), None);
    }
}
