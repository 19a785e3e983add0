//! Names that a runtime writes for the code that it generates: `/tmp/perf-PID.map`.
//!
//! The format is that of perf (Linux 6.12, `tools/perf/Documentation/jit-interface.txt`): a line for
//! each piece of code, `START SIZE name`, the numbers in hexadecimal. The file grows while the program
//! runs, so it is read on from where it was left. Anybody can write one: what is no such line is
//! passed over, and what is kept has limits.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::{demangle::demangled, limits::Limits, place::at_offset, source::source_line};
use crate::symbolize::shared::{
    place::Place,
    text::{NAME, SOURCE, limited},
};

/// Bytes that one update reads; the next goes on from there.
const MAX_READ: u64 = 16 << 20;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// Bytes of a line; a longer one is passed over.
const MAX_LINE: usize = 4096;

/// The part of the memory that the names may take.
const SHARE: u64 = 8;

/// Pieces of code before an address that are looked at.
const OVERLAPS: usize = 64;

/// What a piece of code takes besides its name.
const ENTRY: u64 = size_of::<Entry>() as u64;

/// Names of generated code.
#[derive(Debug)]
pub struct PerfMap {
    /// By their beginning; of one beginning the newest.
    entries: Vec<Entry>,
    /// Bytes of the file that were read.
    read: u64,
    /// Lines that were taken.
    lines: u64,
    /// The beginning of a line whose end was not there yet.
    partial: Vec<u8>,
    /// The line is too long: what is left of it is passed over.
    is_skipping: bool,
    /// Bytes that the names and entries take, and may.
    memory: u64,
    limit: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    start: u64,
    size: u64,
    /// Which line it was: the newest code at an address is what is there.
    line: u64,
    name: Box<str>,
}

impl PerfMap {
    /// Nothing is known yet.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        Self {
            entries: Vec::new(),
            read: 0,
            lines: 0,
            partial: Vec::new(),
            is_skipping: false,
            memory: 0,
            limit: limits.memory / SHARE,
        }
    }

    /// Reads what was added to the file since, at most 16 MiB. It is read, not mapped: it may be cut
    /// meanwhile. One that is shorter than before is another one, and read anew.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn update(&mut self, file: &File) -> io::Result<()> {
        // The call itself, which a sandbox lets pass.
        let length = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or_default();
        if length < self.read {
            self.entries.clear();
            self.partial.clear();
            (self.read, self.memory, self.is_skipping) = (0, 0, false);
        }
        let end = length.min(self.read.saturating_add(MAX_READ));
        let mut buffer = vec![0; CHUNK];
        let mut added = Vec::new();
        while self.read < end {
            let count = file.read_at(&mut buffer, self.read)?;
            if count == 0 {
                break;
            }
            self.read += count as u64;
            let bytes = buffer.get(..count).unwrap_or_default();
            self.take(bytes, &mut added);
        }
        if !added.is_empty() {
            self.entries.append(&mut added);
            self.entries.sort_by_key(|it| (it.start, it.line));
            // Of one beginning the newest.
            self.entries.reverse();
            self.entries.dedup_by_key(|it| it.start);
            self.entries.reverse();
            self.memory = self.entries.iter().map(Entry::memory).sum();
        }
        Ok(())
    }

    /// Where an address is; `None` where no code of these is.
    #[must_use]
    pub fn place(&self, address: u64, beyond: u64) -> Option<Place> {
        let end = self.entries.partition_point(|it| it.start <= address);
        let near = self.entries.get(..end)?.iter().rev().take(OVERLAPS);
        let covers = near.filter(|it| address - it.start < it.size);
        let found = covers.max_by_key(|it| it.line)?;
        let offset = (address - found.start).wrapping_add(beyond);
        let (name, source) = named(&found.name);
        Some(Place {
            location: Some(at_offset(&demangled(name), offset)),
            source: source.map(|source| limited(&source, SOURCE)),
            ..Place::default()
        })
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub const fn memory(&self) -> u64 {
        self.memory
    }

    /// Takes the whole lines of what was read.
    fn take(&mut self, bytes: &[u8], added: &mut Vec<Entry>) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let is_whole = part.ends_with(b"\n");
            if self.is_skipping {
                self.is_skipping = !is_whole;
                continue;
            }
            if self.partial.len() + part.len() > MAX_LINE {
                self.partial.clear();
                self.is_skipping = !is_whole;
                continue;
            }
            self.partial.extend_from_slice(part);
            if !is_whole {
                continue;
            }
            let entry = Entry::parse(&self.partial, self.lines);
            self.partial.clear();
            if let Some(entry) = entry
                && self.memory + entry.memory() <= self.limit
            {
                self.lines += 1;
                self.memory += entry.memory();
                added.push(entry);
            }
        }
    }
}

impl Entry {
    fn parse(line: &[u8], number: u64) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.trim_end();
        let (start, rest) = line.split_once(' ')?;
        let (size, name) = rest.split_once(' ')?;
        let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        let (start, size) = (hex(start)?, hex(size)?);
        start.checked_add(size)?;
        (size > 0 && !name.is_empty()).then(|| Self {
            start,
            size,
            line: number,
            name: (&*limited(name, NAME)).into(),
        })
    }

    const fn memory(&self) -> u64 {
        // Each name is an allocation of its own.
        ENTRY + self.name.len() as u64 + 16
    }
}

/// Function and source of what runtimes write: Python `py::work:/home/me/feed.py` (3.12, `perf_trampoline.c`),
/// Node `LazyCompile:*work /home/me/feed.js:3:14` or `JS:*work …` (V8, `code-events`). Others as they are.
fn named(name: &str) -> (&str, Option<String>) {
    if let Some((function, path)) = name.strip_prefix("py::").and_then(|it| it.rsplit_once(':'))
        && !function.is_empty()
    {
        return (function, source_line(path, None));
    }
    let kinds = ["LazyCompile:", "Function:", "JS:", "Eval:", "Script:"];
    let Some(rest) = kinds.iter().find_map(|kind| name.strip_prefix(kind)) else {
        return (name, None);
    };
    let rest = rest.trim_start_matches(['*', '~', '^', '+', '\'']);
    let Some((function, place)) = rest.split_once(' ') else {
        return (name, None);
    };
    let function = if function.is_empty() {
        "(anonymous)"
    } else {
        function
    };
    // `path:line:column`.
    let mut parts = place.rsplitn(3, ':');
    let (column, line, path) = (parts.next(), parts.next(), parts.next());
    let number = |text: Option<&str>| text.and_then(|it| it.trim().parse::<u64>().ok());
    match (number(column), number(line), path) {
        (Some(_), Some(line), Some(path)) => (function, source_line(path, Some(line))),
        _ => (function, None),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    fn at(map: &PerfMap, address: u64) -> Option<String> {
        let place = map.place(address, 0)?;
        let location = place.location?.to_string();
        Some(match place.source {
            Some(source) => format!("{location} ({source})"),
            None => location,
        })
    }

    #[test]
    fn runtimes_are_understood() {
        let mut file = tempfile::tempfile().expect("a file");
        let text = "\
            7f0010 10 py::work:/home/me/feed.py\n\
            7f0020 10 LazyCompile:*work /home/me/feed.js:3:14\n\
            7f0030 10 JS:~ file:///home/me/feed.js:9:1\n\
            7f0040 10 Lcom/me/Feed;::publish\n\
            7f0050 10 Interpreter\n\
            7f0060 10 _ZN4feed7publish17h0123456789abcdefE\n";
        file.write_all(text.as_bytes()).expect("written");
        let mut map = PerfMap::new(&Limits::default());
        map.update(&file).expect("a file");
        for (address, place) in [
            (0x7f_0010, Some("work (feed.py)")),
            (0x7f_0021, Some("work+0x1 (feed.js:3)")),
            (0x7f_0030, Some("(anonymous) (feed.js:9)")),
            (0x7f_0040, Some("Lcom/me/Feed;::publish")),
            (0x7f_005f, Some("Interpreter+0xf")),
            (0x7f_0060, Some("feed::publish")),
            (0x7f_0070, None),
            (0x7f_000f, None),
        ] {
            assert_eq!(at(&map, address).as_deref(), place, "{address:x}");
        }
    }

    #[test]
    fn a_map_grows_and_the_newest_code_counts() {
        let mut file = tempfile::tempfile().expect("a file");
        let mut map = PerfMap::new(&Limits::default());
        file.write_all(b"1000 20 old\n2000 10 ha").expect("written");
        map.update(&file).expect("a file");
        assert_eq!(at(&map, 0x1000).as_deref(), Some("old"));
        assert_eq!(at(&map, 0x2000), None, "its line has no end yet");
        file.write_all(b"lf\n1000 20 new\n1010 8 newest\n")
            .expect("written");
        map.update(&file).expect("a file");
        assert_eq!(at(&map, 0x2000).as_deref(), Some("half"));
        assert_eq!(at(&map, 0x1000).as_deref(), Some("new"));
        assert_eq!(at(&map, 0x1010).as_deref(), Some("newest"));
        assert_eq!(at(&map, 0x1018).as_deref(), Some("new+0x18"));
        file.set_len(0).expect("cut");
        file.rewind().expect("rewound");
        file.write_all(b"3000 1 anew\n").expect("written");
        map.update(&file).expect("a file");
        assert_eq!(at(&map, 0x1000), None);
        assert_eq!(at(&map, 0x3000).as_deref(), Some("anew"));
    }

    #[test]
    fn garbage_is_passed_over_and_memory_has_a_limit() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(
            b"\n \nx y z\n1000\n1000 \n1000 zz name\nffffffffffffffff 2 over\n\xff\xfe\n",
        )
        .expect("written");
        file.write_all(&vec![b'a'; 1 << 20]).expect("written");
        file.write_all(b"\n4000 1 after\n5000 1 a\x1b[2J\n")
            .expect("written");
        let mut map = PerfMap::new(&Limits::default());
        map.update(&file).expect("a file");
        assert_eq!(map.entries.len(), 2);
        assert_eq!(at(&map, 0x4000).as_deref(), Some("after"));
        assert_eq!(at(&map, 0x5000).as_deref(), Some("a\\u{1b}[2J"));
        let limits = Limits {
            memory: 4096,
            ..Limits::default()
        };
        let mut small = PerfMap::new(&limits);
        for number in 0..1000 {
            writeln!(file, "{number:x}000 10 a_function_with_a_name_{number}").expect("written");
        }
        small.update(&file).expect("a file");
        assert!(small.memory() <= 1024 && small.entries.len() > 5);
    }
}
