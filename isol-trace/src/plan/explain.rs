//! A valid `explain`: of a log, or of a command that is started.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use super::{PlanError, RecordPlan, output::Output};
use crate::{
    cli::{ExplainArgs, RecordArgs, WatchArgs},
    host::Host,
};

/// How long a breach waits for its names.
const NAMES_WAIT: Duration = Duration::from_secs(5);

/// A valid `explain`.
#[derive(Debug)]
pub enum ExplainPlan {
    /// Of a log; `-` is stdin.
    Log(PathBuf),
    /// Of a command, recorded as `record` does.
    Command(Box<RecordPlan>),
}

impl ExplainPlan {
    /// Validates an `explain`. A log needs neither rights nor watched CPUs.
    pub fn new(
        args: ExplainArgs,
        host: &Host,
        search_path: Option<&OsStr>,
    ) -> Result<Self, PlanError> {
        if let Some(log) = args.log {
            return Ok(Self::Log(log));
        }
        if args.command.is_empty() {
            return Err(PlanError::NothingToExplain);
        }
        if args.output.as_ref().is_some_and(|it| it.as_os_str() == "-") {
            return Err(PlanError::ExplainToStdout);
        }
        let record = RecordArgs {
            // Opens nothing.
            output: None,
            watch: WatchArgs {
                // What another thread or process did is told by its stack.
                user_stacks: true,
                ..args.watch
            },
            section: args.section,
            command: args.command,
            ..RecordArgs::default()
        };
        let mut plan = RecordPlan::new(record, host, search_path, false)?;
        // Nobody reads along.
        plan.trace.names_wait = NAMES_WAIT;
        plan.output = match args.output {
            Some(path) => Output::open(path, args.force)?,
            None => Output::Nowhere,
        };
        Ok(Self::Command(Box::new(plan)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::recorded;

    fn plan(args: ExplainArgs, kind: &str) -> Result<ExplainPlan, PlanError> {
        ExplainPlan::new(args, &recorded(kind), Some(OsStr::new("/bin:/usr/bin")))
    }

    fn command() -> ExplainArgs {
        ExplainArgs {
            command: vec!["cat".into()],
            ..ExplainArgs::default()
        }
    }

    #[test]
    fn a_log_is_read_on_any_host() {
        let args = ExplainArgs {
            log: Some("log".into()),
            ..ExplainArgs::default()
        };
        let plan = plan(args, "unprivileged").unwrap();
        assert!(matches!(plan, ExplainPlan::Log(path) if path.as_os_str() == "log"));
    }

    #[test]
    fn a_command_is_recorded_with_the_stacks_of_others() {
        let ExplainPlan::Command(plan) = plan(command(), "nohz-full").unwrap() else {
            panic!("there is a command");
        };
        assert!(plan.trace.user_stacks);
        assert!(matches!(plan.output, Output::Nowhere));
        assert_eq!(plan.command.unwrap().words(), ["cat"]);
    }

    #[test]
    fn the_log_is_kept_where_it_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let args = ExplainArgs {
            output: Some(path.clone()),
            ..command()
        };
        plan(args.clone(), "unprivileged").unwrap_err();
        assert!(!path.exists(), "a plan that fails creates nothing");
        let ExplainPlan::Command(plan) = plan(args, "nohz-full").unwrap() else {
            panic!("there is a command");
        };
        assert!(matches!(&plan.output, Output::File(file) if file.path() == path));
    }

    #[test]
    fn what_cannot_be_explained_is_refused() {
        let nothing = plan(ExplainArgs::default(), "nohz-full");
        assert!(matches!(nothing, Err(PlanError::NothingToExplain)));
        let stdout = ExplainArgs {
            output: Some("-".into()),
            ..command()
        };
        let stdout = plan(stdout, "nohz-full");
        assert!(matches!(stdout, Err(PlanError::ExplainToStdout)));
    }
}
