//! What reading one file may cost.

use crate::symbolize::shared::place::Missing;

/// Bytes in a mebibyte.
const MIB: u64 = 1 << 20;

/// What one file may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of anonymous memory that the index, the decompressed sections and the parsed units of one
    /// file may take together. The mapping of the file itself is not counted: the kernel drops its
    /// pages when it needs them.
    pub memory: u64,
    /// Steps that one question may take: entries of debug information, rows of line programs, symbols.
    pub steps: u64,
}

impl Default for Limits {
    /// 256 MiB, and 64 million steps: a few seconds of one CPU.
    fn default() -> Self {
        Self {
            memory: 256 * MIB,
            steps: 64 << 20,
        }
    }
}

/// Why a file cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It could not be mapped.
    #[error("the file cannot be mapped: {0}")]
    Map(#[from] std::io::Error),
    /// Its headers are not those of an ELF file of this machine's byte order, or are damaged.
    #[error("not an ELF file: {0}")]
    NotElf(&'static str),
    /// Larger than any program is.
    #[error("the file has {0} bytes, which is more than a program has")]
    TooLarge(u64),
}

/// Steps that are left for a question.
#[derive(Debug)]
pub(super) struct Steps {
    left: u64,
}

impl Steps {
    /// As many as `limits` gives.
    pub(super) const fn new(limits: &Limits) -> Self {
        Self { left: limits.steps }
    }

    /// Takes `count` of them.
    ///
    /// # Errors
    /// [`Missing::Steps`] of `what` when they are used up.
    pub(super) fn take(&mut self, count: u64, what: &'static str) -> Result<(), Missing> {
        let left = self.left.checked_sub(count);
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Missing::Steps(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end() {
        let mut steps = Steps { left: 2 };
        assert_eq!(steps.take(2, "x"), Ok(()));
        assert_eq!(steps.take(1, "x"), Err(Missing::Steps("x")));
        assert_eq!(steps.take(0, "x"), Ok(()));
    }
}
