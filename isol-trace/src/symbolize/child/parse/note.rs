//! By what other files are found: the build-id, and the names in `.gnu_debuglink`, `.gnu_debugaltlink`.

use object::Endianness;

use super::elf::{Extent, Headers};
use crate::symbolize::shared::text::until_zero;

/// `NT_GNU_BUILD_ID` (glibc 2.40, `elf/elf.h`).
const BUILD_ID: u32 = 3;

/// Notes that are read: a program has a handful, of some ten bytes each.
const MAX_NOTES: usize = 64;

/// Bytes of a section with notes that are looked at.
const MAX_BYTES: usize = 64 << 10;

/// Bytes of a build-id: 20 with SHA-1, up to 64 where it was given by hand.
const ID: std::ops::RangeInclusive<usize> = 2..=64;

/// `NAME_MAX` (Linux 6.12, `include/uapi/linux/limits.h`).
const NAME_MAX: usize = 255;

/// A file with debug information beside this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugLink {
    /// One component of a path: no `/`, neither `.` nor `..`.
    pub name: Box<str>,
    /// CRC-32 of that file's bytes, as GDB computes it.
    pub crc: u32,
}

/// A file that several share, made by `dwz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AltLink {
    /// One component of a path.
    pub name: Box<str>,
    /// Its build-id, by which it is found below the debug directories.
    pub build_id: Box<[u8]>,
}

/// The names under which a caller may look for further files. Each is one component of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Of this file.
    pub build_id: Option<Box<[u8]>>,
    /// Debug information beside it.
    pub debug_link: Option<DebugLink>,
    /// Debug information that it shares with others.
    pub alt_link: Option<AltLink>,
}

impl Names {
    /// Reads them.
    pub(super) fn of(headers: &Headers, bytes: &[u8]) -> Self {
        let content = |name: &str| {
            let extent = headers.section(name)?.extent?;
            let content = extent.of(bytes);
            Some(content.get(..MAX_BYTES).unwrap_or(content))
        };
        Self {
            build_id: build_id(headers, bytes),
            debug_link: content(".gnu_debuglink").and_then(|it| debug_link(it, headers.endian)),
            alt_link: content(".gnu_debugaltlink").and_then(alt_link),
        }
    }
}

/// A name that is one component of a path, and printable.
pub(super) fn component(name: &[u8]) -> Option<Box<str>> {
    let name = std::str::from_utf8(name).ok()?;
    let is_component = !name.is_empty()
        && name.len() <= NAME_MAX
        && name != "."
        && name != ".."
        && !name.contains(['/', '\0'])
        && !name.contains(char::is_control);
    is_component.then(|| name.into())
}

/// GDB 15, "Debugging Information in Separate Files": the name, zeros up to a multiple of four, the CRC.
fn debug_link(content: &[u8], endian: Endianness) -> Option<DebugLink> {
    let name = until_zero(content, NAME_MAX + 1);
    let start = (name.len() + 1).next_multiple_of(4);
    let crc = content.get(start..start + 4)?.try_into().ok()?;
    Some(DebugLink {
        name: component(name)?,
        crc: read_u32(crc, endian),
    })
}

/// DWARF 5, "Supplementary object files", as `dwz` writes it: a path, zero, the build-id.
fn alt_link(content: &[u8]) -> Option<AltLink> {
    let path = until_zero(content, content.len());
    let build_id = content.get(path.len() + 1..)?;
    let name = path.rsplit(|&byte| byte == b'/').next()?;
    Some(AltLink {
        name: component(name)?,
        build_id: ID.contains(&build_id.len()).then(|| build_id.into())?,
    })
}

fn build_id(headers: &Headers, bytes: &[u8]) -> Option<Box<[u8]>> {
    let section = headers
        .section(".note.gnu.build-id")
        .and_then(|it| it.extent);
    section
        .iter()
        .chain(&headers.notes)
        .find_map(|&extent| build_id_in(extent, bytes, headers.endian))
}

/// gABI, "Note Section": lengths of name and content, a number, both padded to four bytes.
fn build_id_in(extent: Extent, bytes: &[u8], endian: Endianness) -> Option<Box<[u8]>> {
    let content = extent.of(bytes);
    let mut rest = content.get(..MAX_BYTES).unwrap_or(content);
    for _ in 0..MAX_NOTES {
        let (head, body) = rest.split_first_chunk::<12>()?;
        let [name, content, kind] = [0, 4, 8].map(|at| {
            let word = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            read_u32(word, endian)
        });
        let name = usize::try_from(name).ok()?;
        let content = usize::try_from(content).ok()?;
        let start = name.checked_next_multiple_of(4)?;
        let end = start.checked_add(content)?;
        let id = body.get(start..end)?;
        if kind == BUILD_ID && body.get(..name)? == b"GNU\0" {
            return ID.contains(&id.len()).then(|| id.into());
        }
        rest = body.get(end.checked_next_multiple_of(4)?..)?;
    }
    None
}

const fn read_u32(bytes: [u8; 4], endian: Endianness) -> u32 {
    match endian {
        Endianness::Little => u32::from_le_bytes(bytes),
        Endianness::Big => u32::from_be_bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_component() {
        for name in ["", ".", "..", "a/b", "/etc", "../x", "a\nb", "a\0b"] {
            assert_eq!(component(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(component(&[b'a'; 256]), None);
        assert_eq!(component(&[0xff]), None);
        assert_eq!(component(b"..a").as_deref(), Some("..a"));
    }

    #[test]
    fn a_debug_link_has_a_name_and_a_sum() {
        let link = debug_link(b"spin.debug\0\0\x01\x02\x03\x04", Endianness::Little);
        assert_eq!(
            link,
            Some(DebugLink {
                name: "spin.debug".into(),
                crc: 0x0403_0201
            })
        );
        let read = |content| debug_link(content, Endianness::Little);
        assert_eq!(read(b"../../etc/passwd\0\0\0\0\x01\x02\x03\x04"), None);
        assert_eq!(read(b"spin.debug\0\0\x01\x02\x03"), None);
        assert_eq!(read(b""), None);
    }

    #[test]
    fn a_shared_file_is_known_by_its_last_component_and_its_build_id() {
        let link = alt_link(b"../../.dwz/feed.debug\0\x01\x02\x03").expect("a link");
        assert_eq!(&*link.name, "feed.debug");
        assert_eq!(&*link.build_id, [1, 2, 3]);
        assert_eq!(alt_link(b"feed\0"), None);
        assert_eq!(alt_link(b"feed"), None);
    }

    #[test]
    fn notes_that_never_end_do() {
        let sparse = vec![0; 1 << 20];
        let all = Extent {
            start: 0,
            len: sparse.len(),
        };
        assert_eq!(build_id_in(all, &sparse, Endianness::Little), None);
        let mut note = b"\x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0abc\0".to_vec();
        let len = note.len();
        let all = Extent { start: 0, len };
        let found = build_id_in(all, &note, Endianness::Little);
        assert_eq!(found.as_deref(), Some(&b"abc"[..]));
        note[4] = 0xff;
        assert_eq!(build_id_in(all, &note, Endianness::Little), None);
    }
}
