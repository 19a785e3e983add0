//! Where a process has its code: the executable lines of `/proc/PID/maps`, or what was recorded when
//! it mapped them ([`super::mappings`]).
//!
//! The file is read once a process and kept: reading takes a lock of the very process that
//! must not be disturbed, and a process that has died can still be resolved.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::event::ids::{Address, Pid};

/// A piece of code in an address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// Its first address.
    pub(super) start: u64,
    /// The address behind its last.
    pub(super) end: u64,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// What is mapped.
    pub(super) backing: Backing,
}

/// What is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Backing {
    /// A file: its path in the process's own root, and its inode.
    File {
        /// The path, also where the file has been deleted since.
        path: PathBuf,
        /// The inode.
        inode: u64,
    },
    /// Something that the kernel names in brackets, such as `[vdso]`.
    Special(String),
    /// Memory without a file, such as a compiler's at run time.
    Anonymous,
}

impl Backing {
    /// What the kernel calls by this name, and by this inode.
    fn of(inode: u64, name: &[u8]) -> Self {
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        if inode != 0 && name.starts_with(b"/") {
            Self::File {
                path: OsStr::from_bytes(name).into(),
                inode,
            }
        } else if name.starts_with(b"[") {
            Self::Special(String::from_utf8_lossy(name).into_owned())
        } else {
            Self::Anonymous
        }
    }
}

impl Mapping {
    /// Where in the file `address` lies.
    pub(super) const fn file_offset(&self, address: Address) -> u64 {
        address.0.wrapping_sub(self.start).wrapping_add(self.offset)
    }

    /// A short name of what is mapped: the file's own, or the kernel's in brackets.
    pub(super) fn name(&self) -> Option<String> {
        match &self.backing {
            Backing::File { path, .. } => Some(path.file_name()?.to_string_lossy().into_owned()),
            Backing::Special(name) => Some(name.clone()),
            Backing::Anonymous => None,
        }
    }

    /// What the kernel tells of a mapping when it is made: what lies there, and by what `name` the
    /// mapping process knows it.
    pub(super) fn recorded(start: u64, length: u64, offset: u64, inode: u64, name: &[u8]) -> Self {
        let backing = match name {
            // The kernel had no room for the path, and then tells no inode
            // (kernel/events/core.c:perf_event_mmap_event, v6.12).
            b"//toolong" | b"//enomem" => Backing::Special("[path not known]".to_owned()),
            name => Backing::of(inode, name),
        };
        let offset = match backing {
            Backing::File { .. } => offset,
            // An address, which `/proc/PID/maps` does not show either.
            Backing::Special(_) | Backing::Anonymous => 0,
        };
        Self {
            start,
            end: start.saturating_add(length),
            offset,
            backing,
        }
    }

    /// The part of it that lies before an address.
    pub(super) fn before(&self, address: u64) -> Option<Self> {
        (self.start < address).then(|| Self {
            end: self.end.min(address),
            ..self.clone()
        })
    }

    /// The part of it that lies from an address on.
    pub(super) fn from(&self, address: u64) -> Option<Self> {
        let cut = address.saturating_sub(self.start);
        (address < self.end).then(|| Self {
            start: self.start + cut,
            offset: match self.backing {
                Backing::File { .. } => self.offset.wrapping_add(cut),
                Backing::Special(_) | Backing::Anonymous => self.offset,
            },
            ..self.clone()
        })
    }

    /// Parses a line; `None` where it is no code.
    fn parse(line: &str) -> Option<Self> {
        // The path is the rest of the line and may have spaces in it.
        let mut rest = line;
        let mut word = || {
            rest = rest.trim_start_matches(' ');
            let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
            rest = behind;
            word
        };
        let (start, end) = word().split_once('-')?;
        let rights = word();
        let offset = u64::from_str_radix(word(), 16).ok()?;
        let _device = word();
        let inode = word().parse().ok()?;
        let path = rest.trim_start_matches(' ');
        if rights.as_bytes().get(2) != Some(&b'x') {
            return None;
        }
        let backing = Backing::of(inode, unescape(path).as_bytes());
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            offset,
            backing,
        })
    }
}

/// The kernel writes a line feed in a path as `\012` (`show_map_vma` in `fs/proc/task_mmu.c`).
fn unescape(path: &str) -> String {
    path.replace("\\012", "\n")
}

/// The code of a process, in the order of its addresses.
#[derive(Debug)]
pub(super) struct UserMaps {
    /// As the kernel lists it.
    mappings: Vec<Mapping>,
}

impl UserMaps {
    /// Reads the maps of a process under `root`.
    pub(super) fn read(root: &Path, pid: Pid) -> io::Result<Self> {
        let text = fs::read(root.join(format!("proc/{pid}/maps")))?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// Parses the text of a maps file.
    fn parse(text: &str) -> Self {
        Self {
            mappings: text.lines().filter_map(Mapping::parse).collect(),
        }
    }

    /// These mappings, which are in the order of their addresses and do not overlap.
    pub(super) const fn of(mappings: Vec<Mapping>) -> Self {
        Self { mappings }
    }

    /// All of them, in the order of their addresses.
    pub(super) fn all(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The mapping that the kernel gives this name, such as `[vdso]`.
    pub(super) fn named(&self, name: &str) -> Option<&Mapping> {
        self.mappings.iter().find(
            |mapping| matches!(&mapping.backing, Backing::Special(special) if special == name),
        )
    }

    /// The first mapping of a file whose path ends thus.
    #[cfg(test)]
    pub(super) fn find_file(&self, wanted: &str) -> Option<&Mapping> {
        self.mappings.iter().find(
            |mapping| matches!(&mapping.backing, Backing::File { path, .. } if path.ends_with(wanted)),
        )
    }

    /// Whether there is no code at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// The mapping that `address` lies in.
    pub(super) fn find(&self, address: Address) -> Option<&Mapping> {
        let behind = self
            .mappings
            .partition_point(|mapping| mapping.start <= address.0);
        self.mappings[..behind]
            .last()
            .filter(|mapping| address.0 < mapping.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
00400000-00401000 r--p 00000000 fe:00 131 /usr/bin/spin
00401000-00480000 r-xp 00001000 fe:00 131                                /usr/bin/spin
00600000-00700000 rw-p 00000000 00:00 0                                  [heap]
7f0000000000-7f0000001000 r-xp 00000000 00:00 0 
7f0000002000-7f0000003000 r-xp 00002000 fe:00 77                         /opt/my app/libx.so (deleted)
7f0000004000-7f0000005000 r-xs 00000000 00:01 9                          /memfd:jit (deleted)
7ffc12345000-7ffc12347000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
garbage
";

    fn find(address: u64) -> Option<Mapping> {
        UserMaps::parse(SAMPLE).find(Address(address)).cloned()
    }

    #[test]
    fn code_is_found_with_its_place_in_the_file() {
        let mapping = find(0x40_16de).expect("code");
        assert_eq!(mapping.name().as_deref(), Some("spin"));
        assert_eq!(mapping.file_offset(Address(0x40_16de)), 0x16de);
        let mapping = find(0x7f00_0000_2010).expect("code");
        assert_eq!(
            mapping.backing,
            Backing::File {
                path: "/opt/my app/libx.so".into(),
                inode: 77
            }
        );
        assert_eq!(mapping.file_offset(Address(0x7f00_0000_2010)), 0x2010);
    }

    #[test]
    fn what_is_no_file_says_so() {
        assert_eq!(
            find(0x7f00_0000_0123).map(|mapping| mapping.backing),
            Some(Backing::Anonymous)
        );
        assert_eq!(
            find(0x7ffc_1234_5678).and_then(|mapping| mapping.name()),
            Some("[vdso]".to_owned())
        );
        assert_eq!(
            find(0xffff_ffff_ff60_0000).and_then(|mapping| mapping.name()),
            Some("[vsyscall]".to_owned())
        );
    }

    #[test]
    fn data_and_gaps_are_no_code() {
        assert_eq!(find(0x40_0010), None, "read only");
        assert_eq!(find(0x60_0000), None, "heap");
        assert_eq!(find(0x48_0000), None, "behind an end");
        assert_eq!(find(0), None);
        assert_eq!(find(u64::MAX), None);
    }

    #[test]
    fn this_process_has_code_where_it_runs() {
        let here = this_process_has_code_where_it_runs as *const () as u64;
        let maps = UserMaps::read(Path::new("/"), Pid(std::process::id())).expect("our own maps");
        let mapping = maps.find(Address(here)).expect("we run there");
        assert!(matches!(mapping.backing, Backing::File { .. }));
    }
}
