//! CSV: a row for each breach, for spreadsheets and data frames.
//!
//! A column has the name and the unit of the log's field: the path that `jq` finds it by, without the first dot. What is not
//! known is an empty cell. Rows end in a line feed; quoting is that of RFC 4180. Names of others can neither break a row nor
//! steer a terminal, and none becomes a formula (see `Cell::text`). `docs/report.md` describes the columns.

use std::io;

use ::csv::{ByteRecord, WriterBuilder};

use super::lines::{Format, Lines, TextFormat};
use crate::{
    clock::calendar::Calendar,
    event::{
        ids::{Address, MonoNanos, Nanos, RuleId},
        model::{Breach, CauseDetail, Event, Function, Origin, Sender, TaskId},
    },
    printable::printable,
};

/// What `report --format csv` writes.
pub(super) const FORMAT: Format = Format {
    name: "csv",
    about: "a row for each breach",
    start: |output| Box::new(CsvLines::new(output)),
};

/// Room for a row on its way into the lines.
const ROW: usize = 1024;

/// Writes breaches as rows.
pub type CsvLines<W> = Lines<W, Csv>;

/// Breaches as rows, below the names of the columns.
#[derive(Debug, Default)]
pub struct Csv {
    /// The calendar of the log, by its header.
    calendar: Option<Calendar>,
    has_names: bool,
    /// The row and the cell under way, kept for their room.
    row: ByteRecord,
    cell: Vec<u8>,
}

/// A column: its name, and what it has of a breach.
type Column = (&'static str, fn(&mut Cell<'_>, &Breach));

/// Every column, in their order.
const COLUMNS: &[Column] = &[
    ("seq", |cell, it| cell.number(it.seq.0)),
    ("time", |cell, it| cell.time(it.at)),
    ("mono_ns", |cell, it| cell.number(it.at.0)),
    ("cpu", |cell, it| cell.number(it.cpu.0)),
    ("duration_ns", |cell, it| cell.duration(it.duration)),
    ("idle_ns", |cell, it| cell.duration(Some(it.idle))),
    ("end", |cell, it| cell.text(it.end.word())),
    ("section", |cell, it| cell.known(it.section, Cell::flag)),
    ("task.pid", |cell, it| {
        cell.known(it.task.pid, |cell, pid| cell.number(pid.0));
    }),
    ("task.tid", |cell, it| cell.number(it.task.tid.0)),
    ("task.comm", |cell, it| cell.name(it.task.comm.as_deref())),
    ("cause.kind", |cell, it| cell.text(it.cause.cause().word())),
    ("cause.name", |cell, it| cell.name(it.cause_name.as_deref())),
    ("cause.nr", |cell, it| match it.cause {
        CauseDetail::Syscall { number, .. } => cell.known(number, Cell::number),
        CauseDetail::CompatSyscall { number } => cell.number(number),
        _ => {}
    }),
    ("cause.compat", |cell, it| {
        if let CauseDetail::CompatSyscall { .. } = it.cause {
            cell.flag(true);
        }
    }),
    ("cause.address", |cell, it| {
        if let CauseDetail::PageFault { address, .. } = it.cause {
            cell.address(address);
        }
    }),
    ("cause.write", |cell, it| {
        if let CauseDetail::PageFault { write, .. } = it.cause {
            cell.flag(write);
        }
    }),
    ("cause.user", |cell, it| {
        if let CauseDetail::PageFault { user, .. } = it.cause {
            cell.flag(user);
        }
    }),
    ("cause.trap", |cell, it| {
        if let CauseDetail::Exception { trap } = it.cause {
            cell.known(trap, Cell::number);
        }
    }),
    ("cause.irq", |cell, it| {
        if let CauseDetail::DeviceIrq { irq, .. } = it.cause {
            cell.number(irq);
        }
    }),
    ("cause.handler", |cell, it| {
        if let CauseDetail::DeviceIrq { .. } | CauseDetail::Nmi { .. } = it.cause {
            cell.name(it.cause_handler.as_deref());
        }
    }),
    ("cause.net_ns", |cell, it| cell.duration(it.cause_net)),
    ("ip", |cell, it| cell.address(it.ip)),
    ("at", |cell, it| cell.name(it.location.as_deref())),
    ("source", |cell, it| cell.name(it.source.as_deref())),
    ("activity[].kind", |cell, it| {
        cell.words(it.activities.iter().map(|item| item.kind.word()));
    }),
    ("activity_dropped", |cell, it| {
        cell.number(it.dropped_activities);
    }),
    ("origins[].kind", |cell, it| {
        cell.words(it.origins.iter().map(Origin::word));
    }),
    ("origins[0].cpu", |cell, it| {
        cell.known(first(it).and_then(|it| it.cpu), |cell, cpu| {
            cell.number(cpu.0);
        });
    }),
    ("origins[0].pid", |cell, it| {
        cell.known(asker(it).and_then(|it| it.pid), |cell, pid| {
            cell.number(pid.0);
        });
    }),
    ("origins[0].tid", |cell, it| {
        cell.known(asker(it), |cell, task| cell.number(task.tid.0));
    }),
    ("origins[0].comm", |cell, it| {
        cell.name(asker(it).and_then(|it| it.comm.as_deref()));
    }),
    ("origins[0].via", |cell, it| {
        cell.known(first(it), |cell, sender| {
            cell.text(sender.via_word(it.cause.cause()));
        });
    }),
    ("origins[0].mono_ns", |cell, it| {
        cell.known(first(it).and_then(|it| it.at), |cell, at| cell.number(at.0));
    }),
    ("origins[0].callback", |cell, it| {
        cell.known(
            first(it).and_then(|it| it.callback.as_ref()),
            Cell::function,
        );
    }),
    ("origins[0].callsite", |cell, it| {
        cell.known(
            first(it).and_then(|it| it.callsite.as_ref()),
            Cell::function,
        );
    }),
    ("origins[0].inferred", |cell, it| {
        cell.known(first(it), |cell, sender| cell.flag(sender.inferred));
    }),
    ("remedy", |cell, it| {
        cell.name(it.remedy.as_ref().map(RuleId::as_str));
    }),
];

/// Who asked first.
fn first(breach: &Breach) -> Option<&Sender> {
    breach.origins.first()?.sender()
}

/// The task that asked first.
fn asker(breach: &Breach) -> Option<&TaskId> {
    first(breach)?.task.as_ref()
}

impl Csv {
    /// Writes the names of the columns, the first time.
    fn names(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.has_names {
            return Ok(());
        }
        self.has_names = true;
        self.row.clear();
        for (name, _) in COLUMNS {
            self.row.push_field(name.as_bytes());
        }
        self.end_row(out)
    }

    fn breach(&mut self, out: &mut Vec<u8>, breach: &Breach) -> io::Result<()> {
        self.row.clear();
        for (_, write) in COLUMNS {
            self.cell.clear();
            let mut cell = Cell {
                out: &mut self.cell,
                calendar: self.calendar.as_mut(),
            };
            write(&mut cell, breach);
            self.row.push_field(&self.cell);
        }
        self.end_row(out)
    }

    fn end_row(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut writer = WriterBuilder::new().buffer_capacity(ROW).from_writer(out);
        writer.write_byte_record(&self.row)?;
        writer.flush()
    }
}

impl TextFormat for Csv {
    fn write(&mut self, out: &mut Vec<u8>, event: &Event) -> io::Result<()> {
        match event {
            Event::Header(header) => {
                self.calendar = Some(Calendar::new(header.anchor));
                self.names(out)
            }
            Event::Breach(breach) => {
                self.names(out)?;
                self.breach(out, breach)
            }
            _ => Ok(()),
        }
    }
}

/// A cell, empty so far.
struct Cell<'a> {
    out: &'a mut Vec<u8>,
    calendar: Option<&'a mut Calendar>,
}

impl Cell<'_> {
    /// Writes what is known.
    fn known<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn number(&mut self, number: impl Into<u64>) {
        let number: u64 = number.into();
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(number).as_bytes());
    }

    fn duration(&mut self, duration: Option<Nanos>) {
        self.known(duration, |cell, Nanos(ns)| cell.number(ns));
    }

    fn time(&mut self, at: MonoNanos) {
        if let Some(calendar) = &mut self.calendar {
            calendar.write(self.out, at);
        }
    }

    fn flag(&mut self, flag: bool) {
        self.text(if flag { "true" } else { "false" });
    }

    fn address(&mut self, Address(address): Address) {
        self.text(&format!("{address:#x}"));
    }

    /// A place in the kernel by its name, or by its address where it has none; nothing where neither is known.
    fn function(&mut self, function: &Function) {
        match (&function.name, function.address) {
            (Some(name), _) => self.text(name),
            (None, address) => self.known(address, Self::address),
        }
    }

    fn name(&mut self, name: Option<&str>) {
        self.known(name, Self::text);
    }

    /// Words of ours, which have no blank in them.
    fn words<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        let words: Vec<_> = words.collect();
        self.text(&words.join(" "));
    }

    /// Text of others. What a spreadsheet would take for a formula has a `'` in front, and so has what begins with one: whoever
    /// takes one off has the text.
    fn text(&mut self, text: &str) {
        // The wide ones are taken for the others by spreadsheets in Japanese and Chinese.
        const FORMULA: [char; 9] = ['=', '+', '-', '@', '\'', '＝', '＋', '－', '＠'];
        let text = printable(text);
        if text.trim_start().starts_with(FORMULA) {
            self.out.push(b'\'');
        }
        self.out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests;
