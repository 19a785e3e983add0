//! A writer of cpio archives in the format that kernels unpack as an initramfs ("newc", see the
//! kernel's Documentation/driver-api/early-userspace/buffer-format.rst).

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// The entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Writes an archive; folders above an entry are made as needed.
#[derive(Debug)]
pub(crate) struct Archive<W> {
    out: W,
    written: usize,
    inode: u32,
    folders: BTreeSet<String>,
}

/// What an entry's header says beside its name and size.
struct Entry {
    mode: u32,
    device: (u32, u32),
}

impl<W: Write> Archive<W> {
    /// An archive that goes to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            inode: 0,
            folders: BTreeSet::new(),
        }
    }

    /// Adds a folder, and those above it.
    pub(crate) fn folder(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        self.folders_above(path)?;
        self.folders.insert(path.to_owned());
        self.entry(path, &Entry::new(DIRECTORY | 0o755), &[])
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, path: &str, content: &[u8], executable: bool) -> io::Result<()> {
        let mode = if executable { 0o755 } else { 0o644 };
        self.folders_above(path)?;
        self.entry(path, &Entry::new(REGULAR | mode), content)
    }

    /// Adds a symlink at `path` to `target`.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.folders_above(path)?;
        self.entry(path, &Entry::new(SYMLINK | 0o777), target.as_bytes())
    }

    /// Adds a character device.
    pub(crate) fn character_device(
        &mut self,
        path: &str,
        major: u32,
        minor: u32,
    ) -> io::Result<()> {
        self.folders_above(path)?;
        let entry = Entry {
            mode: CHARACTER | 0o600,
            device: (major, minor),
        };
        self.entry(path, &entry, &[])
    }

    /// Ends the archive and gives its output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.write_entry(TRAILER, &Entry::new(0), &[], 0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn folders_above(&mut self, path: &str) -> io::Result<()> {
        match path.trim_matches('/').rsplit_once('/') {
            Some((above, _)) => self.folder(above),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, entry: &Entry, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let links = if entry.mode & DIRECTORY == DIRECTORY && entry.mode & REGULAR != REGULAR {
            2
        } else {
            1
        };
        self.write_entry(path.trim_matches('/'), entry, content, links)
    }

    fn write_entry(
        &mut self,
        name: &str,
        entry: &Entry,
        content: &[u8],
        links: u32,
    ) -> io::Result<()> {
        let size = u32::try_from(content.len())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let name_size = u32::try_from(name.len() + 1)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let (major, minor) = entry.device;
        let fields = [
            self.inode, entry.mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0,
        ];
        self.put(b"070701")?;
        for field in fields {
            self.put(format!("{field:08X}").as_bytes())?;
        }
        self.put(name.as_bytes())?;
        self.put(&[0])?;
        self.align()?;
        self.put(content)?;
        self.align()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len();
        self.out.write_all(bytes)
    }

    /// Headers and contents start at multiples of four.
    fn align(&mut self) -> io::Result<()> {
        let missing = self.written.next_multiple_of(4) - self.written;
        self.put(&[0; 4][..missing])
    }
}

impl Entry {
    const fn new(mode: u32) -> Self {
        Self {
            mode,
            device: (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Read {
        name: String,
        mode: u32,
        links: u32,
        device: (u32, u32),
        content: Vec<u8>,
    }

    /// Each entry, by the format's own rules.
    fn read(archive: &[u8]) -> Vec<Read> {
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(&archive[at..at + 6], b"070701", "magic at {at}");
            let field = |index: usize| {
                let start = at + 6 + index * 8;
                let text = std::str::from_utf8(&archive[start..start + 8]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let name_size = field(11) as usize;
            let size = field(6) as usize;
            let name_start = at + 110;
            let name = &archive[name_start..name_start + name_size - 1];
            assert_eq!(archive[name_start + name_size - 1], 0);
            let content = (name_start + name_size).next_multiple_of(4);
            let name = String::from_utf8(name.to_vec()).unwrap();
            if name == TRAILER {
                assert_eq!(archive.len(), content);
                return entries;
            }
            entries.push(Read {
                name,
                mode: field(1),
                links: field(4),
                device: (field(9), field(10)),
                content: archive[content..content + size].to_vec(),
            });
            at = (content + size).next_multiple_of(4);
        }
    }

    #[test]
    fn an_archive_reads_back() {
        let mut archive = Archive::new(Vec::new());
        archive.character_device("/dev/console", 5, 1).unwrap();
        archive.file("/init", b"#!", true).unwrap();
        archive.file("etc/a/b", b"12345", false).unwrap();
        archive.file("etc/a/c", b"", false).unwrap();
        archive.symlink("/bin/sh", "busybox").unwrap();
        let entries = read(&archive.finish().unwrap());
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "dev",
                "dev/console",
                "init",
                "etc",
                "etc/a",
                "etc/a/b",
                "etc/a/c",
                "bin",
                "bin/sh"
            ]
        );
        let of = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap();
        assert_eq!(of("dev").mode, 0o040_755);
        assert_eq!(of("dev").links, 2);
        assert_eq!(of("dev/console").mode, 0o020_600);
        assert_eq!(of("dev/console").device, (5, 1));
        assert_eq!((of("init").mode, of("init").links), (0o100_755, 1));
        assert_eq!(of("etc/a/b").content, b"12345");
        assert_eq!(of("bin/sh").mode, 0o120_777);
        assert_eq!(of("bin/sh").content, b"busybox");
    }

    #[test]
    fn every_entry_starts_at_a_multiple_of_four() {
        for length in 0..9 {
            let mut archive = Archive::new(Vec::new());
            archive
                .file(&"n".repeat(length + 1), &vec![7; length], false)
                .unwrap();
            archive.file("last", b"x", false).unwrap();
            assert_eq!(read(&archive.finish().unwrap()).len(), 2);
        }
    }
}
