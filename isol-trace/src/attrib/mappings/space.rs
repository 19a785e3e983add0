//! The code in one address space, as it was recorded.

use std::sync::Arc;

use crate::{
    event::ids::{MonoNanos, Pid},
    symbolize::maps::{Backing, Mapping, UserMaps},
};

/// Mappings that are kept of a process.
pub(super) const MAPPINGS: usize = 1024;

/// Code, and when it was mapped.
#[derive(Clone, Debug)]
struct Recorded {
    at: MonoNanos,
    mapping: Mapping,
}

impl Recorded {
    /// Memory that it takes, about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.mapping.path_bytes()
    }
}

/// Mappings in the order of their addresses, no two of which overlap.
#[derive(Clone, Debug, Default)]
pub(in crate::attrib) struct Code {
    all: Vec<Recorded>,
    bytes: usize,
}

impl Code {
    /// Adds a mapping, which replaces what lay there before: that was unmapped, which nobody tells.
    pub(super) fn map(&mut self, at: MonoNanos, mapping: Mapping) {
        if mapping.start >= mapping.end {
            return;
        }
        let place = self.place(at, mapping);
        if self.all.len() > MAPPINGS {
            self.forget_one(place);
        }
    }

    /// Exactly this code, at a moment. It is in the order of its addresses, and nothing overlaps.
    pub(super) fn exactly(at: MonoNanos, code: Vec<Mapping>) -> Self {
        let code = code.into_iter().take(MAPPINGS);
        let all: Vec<_> = code.map(|mapping| Recorded { at, mapping }).collect();
        Self {
            bytes: all.iter().map(Recorded::bytes).sum(),
            all,
        }
    }

    /// Puts a mapping in its place, and says which that is.
    fn place(&mut self, at: MonoNanos, mapping: Mapping) -> usize {
        let (start, end) = (mapping.start, mapping.end);
        let first = self.all.partition_point(|it| it.mapping.end <= start);
        let behind = self.all.partition_point(|it| it.mapping.start < end);
        let old = &self.all[first..behind];
        let part = |of: Option<&Recorded>, cut: &dyn Fn(&Mapping) -> Option<Mapping>| {
            of.and_then(|it| {
                let mapping = cut(&it.mapping)?;
                Some(Recorded { at: it.at, mapping })
            })
        };
        let left = part(old.first(), &|it| it.before(start));
        let right = part(old.last(), &|it| it.from(end));
        let new = Recorded { at, mapping };
        let bytes = |it: &Recorded| it.bytes();
        let added = left.iter().chain([&new]).chain(&right).map(bytes);
        self.bytes += added.sum::<usize>();
        self.bytes -= old.iter().map(bytes).sum::<usize>();
        let place = first + usize::from(left.is_some());
        let parts = left.into_iter().chain([new]).chain(right);
        self.all.splice(first..behind, parts);
        place
    }

    /// Makes room: for a file by memory that a compiler took, and else by what has just come.
    fn forget_one(&mut self, new: usize) {
        let anonymous = |it: &Recorded| it.mapping.backing == Backing::Anonymous;
        let place = self.all.iter().position(anonymous).unwrap_or(new);
        self.bytes -= self.all.remove(place).bytes();
    }

    /// What of this came after a moment, on top of `before`; `None` where nothing came.
    pub(in crate::attrib) fn since(&self, at: MonoNanos, before: &UserMaps) -> Option<UserMaps> {
        let mut new = self.all.iter().filter(|it| it.at > at).peekable();
        new.peek()?;
        let mut code = Self::default();
        for mapping in before.all() {
            code.all.push(Recorded {
                at,
                mapping: mapping.clone(),
            });
        }
        code.bytes = code.all.iter().map(Recorded::bytes).sum();
        for it in new {
            code.place(it.at, it.mapping.clone());
        }
        let mappings = code.all.into_iter().map(|it| it.mapping);
        Some(UserMaps::of(mappings.collect()))
    }

    /// Memory that it takes, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What is recorded of a process.
#[derive(Clone, Debug)]
pub(in crate::attrib) struct Space {
    /// What was known of its number before this is of another process or program. 0 where its
    /// beginning was not recorded.
    pub(in crate::attrib) since: MonoNanos,
    /// What else it has; `None` where everything since an `execve` is here.
    pub(super) base: Option<Base>,
    /// Its code.
    pub(in crate::attrib) code: Arc<Code>,
}

/// Code that was mapped before the record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// Whose that was: the process's own, or its parent's.
    pub(super) of: Pid,
    /// When it was that.
    pub(super) at: MonoNanos,
}
