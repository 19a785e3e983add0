//! What a drawing showed.

/// What a drawing showed, for the keys that come next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Lines that the detail can still be scrolled.
    pub detail: usize,
    /// Lines that the probes can still be scrolled.
    pub probes: usize,
    /// Lines that the help can still be scrolled.
    pub help: usize,
    /// Rows of the pane that has the keys.
    pub page: usize,
    /// Beside an open detail the CPU and causes tables are on the screen.
    pub tables: bool,
}
