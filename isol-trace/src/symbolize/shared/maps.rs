//! Where a process has its code: the executable lines of `/proc/PID/maps`, or what was recorded when
//! it mapped them (`symbolize::mappings`).

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::event::ids::Address;

/// A piece of code in an address space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mapping {
    /// Its first address.
    pub(crate) start: u64,
    /// The address behind its last.
    pub(crate) end: u64,
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// What is mapped.
    pub(crate) backing: Backing,
}

/// A path, which need not be text. A copy has the same bytes in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub(crate) struct FilePath(Arc<[u8]>);

impl FilePath {
    /// The path.
    pub(crate) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether both are the same bytes in memory.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl From<Vec<u8>> for FilePath {
    fn from(path: Vec<u8>) -> Self {
        Self(path.into())
    }
}

impl From<FilePath> for Vec<u8> {
    fn from(path: FilePath) -> Self {
        path.0.to_vec()
    }
}

impl From<&str> for FilePath {
    fn from(path: &str) -> Self {
        Self(path.as_bytes().into())
    }
}

/// A file, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct FileNumber {
    /// The device, major and minor number.
    pub(crate) device: (u32, u32),
    /// The inode.
    pub(crate) inode: u64,
}

impl FileNumber {
    /// Whether a file that was opened is the one that was mapped. The number of a device is not the same everywhere where
    /// it stands for no real device, such as a subvolume's or an overlay's (its major number is 0).
    pub(crate) const fn is(self, opened: Self) -> bool {
        let real = self.device.0 != 0 && opened.device.0 != 0;
        let same = self.device.0 == opened.device.0 && self.device.1 == opened.device.1;
        self.inode == opened.inode && (same || !real)
    }
}

/// What is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Backing {
    /// A file.
    File {
        /// The path in the process's own root, also where the file has been deleted since.
        path: FilePath,
        /// Which file it was.
        file: FileNumber,
    },
    /// Something that the kernel names in brackets, such as `[vdso]`.
    Special(String),
    /// Memory without a file, such as a compiler's at run time.
    Anonymous,
}

impl Backing {
    /// What the kernel calls by this name and number.
    fn of(file: FileNumber, name: &[u8]) -> Self {
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        if file.inode != 0 && name.starts_with(b"/") {
            Self::File {
                path: FilePath(name.into()),
                file,
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
    pub(crate) const fn file_offset(&self, address: Address) -> u64 {
        address.0.wrapping_sub(self.start).wrapping_add(self.offset)
    }

    /// A short name of what is mapped: the file's own, or the kernel's in brackets.
    pub(crate) fn name(&self) -> Option<String> {
        match &self.backing {
            Backing::File { path, .. } => {
                Some(path.path().file_name()?.to_string_lossy().into_owned())
            }
            Backing::Special(name) => Some(name.clone()),
            Backing::Anonymous => None,
        }
    }

    /// The same in brackets, whatever it is: so it cannot be taken for a function of that name.
    pub(crate) fn name_in_brackets(&self) -> Option<String> {
        let name = self.name()?;
        Some(match &self.backing {
            Backing::File { .. } => format!("[{name}]"),
            Backing::Special(_) | Backing::Anonymous => name,
        })
    }

    /// What the kernel tells of a mapping when it is made: what lies there, and by what `name` the
    /// mapping process knows it.
    pub(crate) fn recorded(
        start: u64,
        length: u64,
        offset: u64,
        file: FileNumber,
        name: &[u8],
    ) -> Self {
        let backing = match name {
            // The kernel had no room for the path, and then tells no inode
            // (kernel/events/core.c:perf_event_mmap_event, v6.12).
            b"//toolong" | b"//enomem" => Backing::Special("[path not known]".to_owned()),
            name => Backing::of(file, name),
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
    pub(crate) fn before(&self, address: u64) -> Option<Self> {
        (self.start < address).then(|| Self {
            end: self.end.min(address),
            ..self.clone()
        })
    }

    /// The part of it that lies from an address on.
    pub(crate) fn from(&self, address: u64) -> Option<Self> {
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

    /// Bytes of its name.
    pub(crate) fn path_bytes(&self) -> usize {
        match &self.backing {
            Backing::File { path, .. } => path.bytes(),
            Backing::Special(name) => name.len(),
            Backing::Anonymous => 0,
        }
    }

    /// Parses a line; `None` where it is no code.
    fn parse(line: &[u8]) -> Option<Self> {
        // The path is the rest of the line and may have spaces in it.
        let mut rest = line;
        let mut word = || {
            rest = rest.trim_ascii_start();
            let end = rest.iter().position(|it| *it == b' ').unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            rest = behind;
            str::from_utf8(word).ok()
        };
        let hex = |digits| u64::from_str_radix(digits, 16).ok();
        let (start, end) = word()?.split_once('-')?;
        let rights = word()?;
        let offset = hex(word()?)?;
        let (major, minor) = word()?.split_once(':')?;
        let inode = word()?.parse().ok()?;
        if rights.as_bytes().get(2) != Some(&b'x') {
            return None;
        }
        let small = |digits| u32::from_str_radix(digits, 16).ok();
        let file = FileNumber {
            device: (small(major)?, small(minor)?),
            inode,
        };
        let (start, end) = (hex(start)?, hex(end)?);
        (start < end).then(|| Self {
            start,
            end,
            offset,
            backing: Backing::of(file, &unescape(rest.trim_ascii_start())),
        })
    }
}

/// The kernel writes a line feed in a path as `\012` (`show_map_vma` in `fs/proc/task_mmu.c`).
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, behind @ ..] = rest {
        if let Some(behind) = rest.strip_prefix(br"\012") {
            plain.push(b'\n');
            rest = behind;
        } else {
            plain.push(*first);
            rest = behind;
        }
    }
    plain
}

/// The code of a process, in the order of its addresses.
#[derive(Debug)]
pub(crate) struct UserMaps {
    /// As the kernel lists it.
    mappings: Vec<Mapping>,
}

impl UserMaps {
    /// Parses the text of a maps file.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self {
            mappings: text
                .split(|byte| *byte == b'\n')
                .filter_map(Mapping::parse)
                .collect(),
        }
    }

    /// All of them, in the order of their addresses.
    pub(crate) fn into_code(self) -> Vec<Mapping> {
        self.mappings
    }

    /// These mappings, which are in the order of their addresses and do not overlap.
    pub(crate) const fn of(mappings: Vec<Mapping>) -> Self {
        Self { mappings }
    }

    /// All of them, in the order of their addresses.
    pub(crate) fn all(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The mapping that the kernel gives this name, such as `[vdso]`.
    pub(crate) fn named(&self, name: &str) -> Option<&Mapping> {
        self.mappings.iter().find(
            |mapping| matches!(&mapping.backing, Backing::Special(special) if special == name),
        )
    }

    /// The first mapping of a file whose path ends thus.
    #[cfg(test)]
    pub(crate) fn find_file(&self, wanted: &str) -> Option<&Mapping> {
        self.mappings.iter().find(
            |mapping| matches!(&mapping.backing, Backing::File { path, .. } if path.path().ends_with(wanted)),
        )
    }

    /// Whether there is no code at all.
    pub(crate) const fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// The mapping that `address` lies in.
    pub(crate) fn find(&self, address: Address) -> Option<&Mapping> {
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
        UserMaps::parse(SAMPLE.as_bytes())
            .find(Address(address))
            .cloned()
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
                file: FileNumber {
                    device: (0xfe, 0),
                    inode: 77
                }
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
    fn a_file_is_known_again_by_its_numbers() {
        let number = |major, inode| FileNumber {
            device: (major, 1),
            inode,
        };
        assert!(number(8, 5).is(number(8, 5)));
        assert!(!number(8, 5).is(number(8, 6)));
        assert!(!number(8, 5).is(number(9, 5)));
        assert!(number(8, 5).is(number(0, 5)), "an overlay's number");
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
        let text = std::fs::read("/proc/self/maps").expect("our own maps");
        let maps = UserMaps::parse(&text);
        let mapping = maps.find(Address(here)).expect("we run there");
        assert!(matches!(mapping.backing, Backing::File { .. }));
    }
}
