//! The code in one address space, as it was recorded.

use std::{ffi::OsString, sync::Arc};

use crate::{
    event::ids::{MonoNanos, Pid},
    symbolize::shared::maps::{Backing, FilePath, Mapping, UserMaps},
};

/// Mappings that are kept of a process.
pub(super) const MAPPINGS: usize = 1024;

/// Mappings of a file whose paths are compared with that of another one: a file has one path, unless somebody makes
/// many links to it.
const COMPARED: usize = 8;

/// Code, and when it was mapped.
#[derive(Clone, Debug)]
struct Recorded {
    at: MonoNanos,
    mapping: Mapping,
}

impl Recorded {
    /// Memory that it takes, about, without the path of a file.
    fn bytes(&self) -> usize {
        let name = match &self.mapping.backing {
            Backing::Special(name) => name.len(),
            Backing::File { .. } | Backing::Anonymous => 0,
        };
        size_of::<Self>() + name
    }

    /// The path of its file, if it has one.
    const fn path(&self) -> Option<&FilePath> {
        match &self.mapping.backing {
            Backing::File { path, .. } => Some(path),
            Backing::Special(_) | Backing::Anonymous => None,
        }
    }
}

/// Mappings in the order of their addresses, no two of which overlap. Those of one file have its path in common.
#[derive(Clone, Debug, Default)]
pub(in crate::symbolize) struct Code {
    all: Vec<Recorded>,
    bytes: usize,
}

impl Code {
    /// Adds a mapping, which replaces what lay there before: that was unmapped, which nobody tells.
    pub(super) fn map(&mut self, at: MonoNanos, mapping: Mapping) {
        if mapping.start >= mapping.end {
            return;
        }
        let mapping = self.share_path(mapping);
        let new = Recorded { at, mapping };
        if let Some(path) = new.path() {
            self.bytes += self.bytes_of(path);
        }
        let (place, old) = self.put(new);
        for (count, it) in old.iter().enumerate() {
            let before = &old[..count];
            self.bytes -= it.bytes();
            if let Some(path) = it.path().filter(|path| !has(before, path)) {
                self.bytes -= self.bytes_of(path);
            }
        }
        if self.all.len() > MAPPINGS {
            self.forget_one(place);
        }
    }

    /// Exactly this code, at a moment. It is in the order of its addresses, and nothing overlaps.
    pub(super) fn exactly(at: MonoNanos, code: Vec<Mapping>) -> Self {
        let mut surplus = code.len().saturating_sub(MAPPINGS);
        let named = code.into_iter().filter(|mapping| {
            let goes = surplus > 0 && mapping.backing == Backing::Anonymous;
            surplus -= usize::from(goes);
            !goes
        });
        let mut exact = Self::default();
        for mapping in named.take(MAPPINGS) {
            let mapping = exact.share_path(mapping);
            let new = Recorded { at, mapping };
            let path = new.path().map_or(0, |path| exact.bytes_of(path));
            exact.bytes += new.bytes() + path;
            exact.all.push(new);
        }
        exact
    }

    /// Gives a mapping the path that another one of its file has.
    fn share_path(&self, mut mapping: Mapping) -> Mapping {
        if let Backing::File { path, file } = &mut mapping.backing {
            let same_file = self.all.iter().filter_map(|it| match &it.mapping.backing {
                Backing::File { path, file: other } if other == file => Some(path),
                _ => None,
            });
            if let Some(same) = same_file.take(COMPARED).find(|it| *it == path) {
                *path = same.clone();
            }
        }
        mapping
    }

    /// What a path takes that no mapping has: nothing where one does.
    fn bytes_of(&self, path: &FilePath) -> usize {
        if has(&self.all, path) {
            0
        } else {
            path.bytes()
        }
    }

    /// Puts a mapping in its place, and says which that is and what lay there. Paths are not counted.
    fn put(&mut self, new: Recorded) -> (usize, Vec<Recorded>) {
        let (start, end) = (new.mapping.start, new.mapping.end);
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
        let place = first + usize::from(left.is_some());
        let parts: Vec<_> = left.into_iter().chain([new]).chain(right).collect();
        self.bytes += parts.iter().map(Recorded::bytes).sum::<usize>();
        let old = self.all.splice(first..behind, parts).collect();
        (place, old)
    }

    /// Makes room: for a file by memory that a compiler took, and else by what has just come.
    fn forget_one(&mut self, new: usize) {
        let anonymous = |it: &Recorded| it.mapping.backing == Backing::Anonymous;
        let place = self.all.iter().position(anonymous).unwrap_or(new);
        let gone = self.all.remove(place);
        self.bytes -= gone.bytes();
        if let Some(path) = gone.path() {
            self.bytes -= self.bytes_of(path);
        }
    }

    /// What of this came after a moment, on top of `before`; `None` where nothing came.
    pub(in crate::symbolize) fn since(&self, at: MonoNanos, before: &UserMaps) -> Option<UserMaps> {
        let mut new = self.all.iter().filter(|it| it.at > at).peekable();
        new.peek()?;
        let mut code = Self::default();
        for mapping in before.all() {
            code.all.push(Recorded {
                at,
                mapping: mapping.clone(),
            });
        }
        for it in new {
            code.put(it.clone());
        }
        let mappings = code.all.into_iter().map(|it| it.mapping);
        Some(UserMaps::of(mappings.collect()))
    }

    /// The same as [`Self::bytes`], counted anew.
    #[cfg(test)]
    pub(super) fn counted(&self) -> usize {
        let path = |(count, it): (usize, &Recorded)| {
            let path = it.path().filter(|path| !has(&self.all[..count], path));
            it.bytes() + path.map_or(0, FilePath::bytes)
        };
        self.all.iter().enumerate().map(path).sum()
    }

    /// Whether a program that began thus is the one whose code this was at a moment. Both addresses are random each time
    /// that a program is executed, and the kernel maps what is there, and records that, before the program runs
    /// (`fs/binfmt_elf.c:load_elf_binary`, `mm/mmap.c:__install_special_mapping`, v6.12).
    pub(in crate::symbolize) fn is_of(&self, beginning: &Beginning, at: MonoNanos) -> bool {
        let mut vdso = false;
        let mut entry = false;
        for it in self.all.iter().filter(|it| it.at <= at) {
            let mapping = &it.mapping;
            match &mapping.backing {
                Backing::Special(name) if name == "[vdso]" => {
                    vdso |= mapping.start == beginning.vdso;
                }
                Backing::File { path, .. } => {
                    let lies_in = (mapping.start..mapping.end).contains(&beginning.entry);
                    let has_name = path.path().file_name() == Some(&beginning.program);
                    entry |= lies_in && has_name;
                }
                Backing::Special(_) | Backing::Anonymous => {}
            }
        }
        vdso && entry
    }

    /// Memory that it takes, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Whether one of these has a path, the same in memory.
fn has(mappings: &[Recorded], path: &FilePath) -> bool {
    let mut paths = mappings.iter().filter_map(Recorded::path);
    paths.any(|it| it.is_shared_with(path))
}

/// What is recorded of a process.
#[derive(Clone, Debug)]
pub(in crate::symbolize) struct Space {
    /// What was known of its number before this is of another process or program. 0 where its
    /// beginning was not recorded.
    pub(in crate::symbolize) since: MonoNanos,
    /// What else it has; `None` where everything since an `execve` is here.
    pub(super) base: Option<Base>,
    /// Its code.
    pub(in crate::symbolize) code: Arc<Code>,
    /// When it may have executed another program, unseen.
    pub(in crate::symbolize) doubt: Option<Doubt>,
}

/// A time in which records were lost, of anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::symbolize) struct Doubt {
    /// None was lost before this.
    pub(in crate::symbolize) since: MonoNanos,
    /// None was lost after.
    pub(in crate::symbolize) until: MonoNanos,
}

impl Doubt {
    /// From the beginning of the earlier one to the end of the later one.
    fn and(self, other: Self) -> Self {
        Self {
            since: self.since.min(other.since),
            until: self.until.max(other.until),
        }
    }
}

impl Space {
    /// Records were lost: it may be another program's by now, and so may that be which it has code of.
    pub(super) fn doubt(&mut self, pid: Pid, doubt: Doubt) {
        self.doubt = Some(self.doubt.map_or(doubt, |before| before.and(doubt)));
        if let Some(base) = &mut self.base {
            *base = Base {
                of: pid,
                at: MonoNanos(0),
            };
        }
    }
}

/// How a process began its program, as the kernel told that (`AT_SYSINFO_EHDR`, `AT_ENTRY`) and tells still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::symbolize) struct Beginning {
    /// Where its vDSO begins.
    pub(in crate::symbolize) vdso: u64,
    /// The first address of its program that was executed.
    pub(in crate::symbolize) entry: u64,
    /// The name of its program's file, without a folder.
    pub(in crate::symbolize) program: OsString,
}

/// Code that was mapped before the record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// Whose that was: the process's own, or its parent's.
    pub(super) of: Pid,
    /// When it was that.
    pub(super) at: MonoNanos,
}
