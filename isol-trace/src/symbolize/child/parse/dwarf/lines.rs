//! Source lines of a unit by address.

use gimli::{DebugLineOffset, IncompleteLineProgram, LineProgramHeader, Reader as _, Section as _};

use super::file::{DebugFile, Slice, Unit};
use crate::symbolize::{
    child::parse::limits::{Limits, Steps},
    shared::place::Missing,
};

/// What a failure is blamed on.
const LINE: &str = ".debug_line";

/// gimli makes some two hundred bytes of the shortest entry of a table of source files: the part of the
/// memory that such a table may have in the file.
const HEADER_SHARE: u64 = 512;

/// Bytes of a unit's instructions that are run: they have up to as many rows, a quarter of a second of a CPU. Each place is
/// a run where the rows take too much memory, so that a unit with more has no lines. The largest of honest programs have
/// a few MiB.
const INSTRUCTIONS: usize = 16 << 20;

/// Rows of a unit, in sequences of ascending addresses.
#[derive(Debug, Default)]
pub(super) struct Lines {
    sequences: Vec<Sequence>,
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Sequence {
    begin: u64,
    end: u64,
    /// The first of its rows, and the one behind the last.
    rows: (u32, u32),
}

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u32,
    /// 0 where the compiler says that there is none.
    line: u32,
}

/// A source line: the number of the file, and the line.
pub(super) type Line = (u64, Option<u64>);

fn damaged(_: gimli::Error) -> Missing {
    Missing::Damaged(LINE)
}

/// The line program of a unit; `None` where it has none.
pub(super) fn program<'a>(
    file: &DebugFile<'a>,
    unit: &Unit<'a>,
    limits: &Limits,
) -> Result<Option<IncompleteLineProgram<Slice<'a>>>, Missing> {
    let Some(offset) = unit.lines else {
        return Ok(None);
    };
    let length = header_length(*file.dwarf.debug_line.reader(), offset).map_err(damaged)?;
    let limit = limits.memory / HEADER_SHARE;
    if length > limit {
        return Err(Missing::Memory {
            what: "a table of source files",
            needs: length.saturating_mul(HEADER_SHARE),
            limit: limits.memory,
        });
    }
    let unit = &unit.inner;
    let (folder, name) = (unit.comp_dir, unit.name);
    let size = unit.header.address_size();
    let program = &file.dwarf.debug_line;
    let program = program.program(DebugLineOffset(offset), size, folder, name);
    program.map(Some).map_err(damaged)
}

/// Bytes of the header of a line program (DWARF 5, 6.2.4).
fn header_length(mut section: Slice<'_>, offset: usize) -> gimli::Result<u64> {
    section.skip(offset)?;
    let (_, format) = section.read_initial_length()?;
    if section.read_u16()? >= 5 {
        section.read_u16()?;
    }
    Ok(section.read_length(format)? as u64)
}

impl Lines {
    /// Runs a line program. `None` where its rows take more than `room` bytes.
    pub(super) fn read(
        program: IncompleteLineProgram<Slice<'_>>,
        room: u64,
        steps: &mut Steps,
    ) -> Result<Option<Self>, Missing> {
        let most = usize::try_from(room).unwrap_or(usize::MAX) / size_of::<Row>() / 3;
        let mut lines = Self::default();
        let mut first = 0;
        let fits = each_row(program, steps, |address, row| {
            if let Some((file, line)) = row {
                lines.rows.push(Row {
                    address,
                    file: u32::try_from(file).unwrap_or(u32::MAX),
                    line: line.and_then(|it| u32::try_from(it).ok()).unwrap_or(0),
                });
            } else {
                let end = u32::try_from(lines.rows.len()).unwrap_or(u32::MAX);
                if let Some(row) = lines.rows.get(first as usize)
                    && row.address < address
                {
                    lines.sequences.push(Sequence {
                        begin: row.address,
                        end: address,
                        rows: (first, end),
                    });
                }
                first = end;
            }
            lines.rows.len() < most && lines.sequences.len() < most
        })?;
        if !fits {
            return Ok(None);
        }
        lines.sequences.sort_unstable_by_key(|it| it.begin);
        lines.sequences.shrink_to_fit();
        lines.rows.shrink_to_fit();
        Ok(Some(lines))
    }

    /// The line of an address.
    pub(super) fn find(&self, address: u64) -> Option<Line> {
        let end = self.sequences.partition_point(|it| it.begin <= address);
        let sequence = self.sequences.get(end.checked_sub(1)?)?;
        if address >= sequence.end {
            return None;
        }
        let (first, last) = sequence.rows;
        let rows = self.rows.get(first as usize..last as usize)?;
        let end = rows.partition_point(|it| it.address <= address);
        let row = rows.get(end.checked_sub(1)?)?;
        Some((row.file.into(), (row.line != 0).then(|| row.line.into())))
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> u64 {
        let sequences = self.sequences.capacity() * size_of::<Sequence>();
        (sequences + self.rows.capacity() * size_of::<Row>()) as u64
    }
}

/// The line of an address by running the program, keeping nothing: for units whose rows take too much.
pub(super) fn search(
    program: IncompleteLineProgram<Slice<'_>>,
    address: u64,
    steps: &mut Steps,
) -> Result<Option<Line>, Missing> {
    let mut last: Option<(u64, Line)> = None;
    let mut found = None;
    each_row(program, steps, |at, row| {
        if let Some((begin, line)) = last
            && (begin..at).contains(&address)
        {
            found = Some(line);
        }
        last = row.map(|line| (at, line));
        found.is_none()
    })?;
    Ok(found)
}

/// Calls `with` for each row with its address, its file and line; without these at the end of a sequence.
/// Ends when that says so, and says whether it did not.
fn each_row(
    program: IncompleteLineProgram<Slice<'_>>,
    steps: &mut Steps,
    mut with: impl FnMut(u64, Option<Line>) -> bool,
) -> Result<bool, Missing> {
    // gimli runs any number of instructions without making a row; each has a byte at least.
    let bytes = program.header().raw_program_buf().len();
    if bytes > INSTRUCTIONS {
        return Err(Missing::Steps(LINE));
    }
    steps.take(bytes as u64 / 4, LINE)?;
    let mut rows = program.rows();
    loop {
        // What a damaged program said before it broke is of no use: its rows would end nowhere.
        let Some((_, row)) = rows.next_row().map_err(damaged)? else {
            return Ok(true);
        };
        let line = row.line().map(std::num::NonZeroU64::get);
        let line = (!row.end_sequence()).then(|| (row.file_index(), line));
        if !with(row.address(), line) {
            return Ok(false);
        }
    }
}

/// The path of a source file, as it was given to the compiler, below the folder that it ran in.
pub(super) fn path<'a>(
    file: &DebugFile<'a>,
    unit: &Unit<'a>,
    header: &LineProgramHeader<Slice<'a>>,
    number: u64,
) -> Option<String> {
    let entry = header.file(number)?;
    let text = |value| {
        let bytes = file.string(&unit.inner, value)?;
        Some(String::from_utf8_lossy(bytes.slice()).into_owned())
    };
    let mut path = text(entry.path_name())?;
    if !path.starts_with('/')
        && let Some(folder) = entry.directory(header).and_then(text)
    {
        path = format!("{folder}/{path}");
    }
    if !path.starts_with('/')
        && let Some(folder) = unit.inner.comp_dir
    {
        path = format!("{}/{path}", String::from_utf8_lossy(folder.slice()));
    }
    Some(path)
}
