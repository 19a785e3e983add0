//! `report`: a log in another format.

use std::process::ExitCode;

use super::{replay::replay, stderr::say};
use crate::{
    cli::ReportArgs,
    consume::{Consumer, FanOut},
    error::Error,
    event::model::Event,
    filter::Select,
    sink::LogFile,
    tui::text::counted,
};

/// Writes a log to stdout, in the format that was asked for.
pub fn run(args: &ReportArgs) -> Result<ExitCode, Error> {
    let stdout = LogFile::stdout().map_err(Error::Stdout)?;
    let mut report = (args.format.start)(Box::new(stdout));
    let mut missing = Missing::default();
    let mut all = FanOut::new().with(&mut *report).with(&mut missing);
    let mut selected = Select::new(args.filter.clone().unwrap_or_default(), &mut all);
    replay(&args.log, &mut selected)?;
    if let Some(error) = selected.take_error() {
        return Err(Error::Stdout(error));
    }
    if missing.records > 0 {
        say(&format!(
            "{} found no room in the log, and are not in the report either",
            counted(missing.records, "record", "records")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts the records that a log says it does not have.
#[derive(Debug, Default)]
struct Missing {
    records: u64,
}

impl Consumer for Missing {
    fn event(&mut self, event: &Event) {
        if let Event::Lost { records, .. } = event {
            self.records = self.records.saturating_add(*records);
        }
    }
}
