//! What was typed, as it was typed; [`crate::plan`] makes it a valid plan.
//!
//! Values are read here, so that a malformed one is reported with its option.

pub mod value;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    consume,
    event::{ids::Pid, signal::Signal},
    filter::Filter,
    host::cpu_list::CpuSet,
};
use value::{Comm, RingSize, SymbolMemory};

/// Why was the kernel entered on an isolated CPU? Every entry counted, with one cause, a
/// duration and an origin.
#[derive(Debug, Parser)]
#[command(
    name = "isol-trace",
    version,
    arg_required_else_help = false,
    max_term_width = 100,
    after_help = "Example:\n  isol-trace top\n  isol-trace record -o log.jsonl --duration 60s\n\n\
                  Exit status: 0 done; 1 doctor found a defect; 2 the request or the host is wrong; with CMD, that of CMD."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a live dashboard in the terminal.
    #[command(after_help = "Example:\n  isol-trace top\n  isol-trace top --cpus 2-3 --comm spin")]
    Top(TopArgs),

    /// Write every kernel entry of the watched CPUs as JSON Lines.
    #[command(
        after_help = "Examples:\n  isol-trace record -o log.jsonl --duration 60s\n  \
                      isol-trace record --cpus 2-3 -o log.jsonl -- ./my-task --fast\n  \
                      isol-trace record --strict=USR1 -o log.jsonl -- ./my-task\n  \
                      isol-trace record --duration 10s | jq 'select(.type == \"breach\")'\n\n\
                      With CMD, the exit status is that of CMD (128 + signal if it was killed)."
    )]
    Record(RecordArgs),

    /// Say why a task was killed or signalled: by a log, or of a command that is started.
    #[command(
        mut_arg("user_stacks", |stacks| stacks.hide(true)),
        override_usage = "isol-trace explain LOG\n       isol-trace explain [OPTIONS] -- CMD [ARG]...",
        after_help = "Examples:\n  isol-trace explain log.jsonl\n  \
                      isol-trace explain -- ./my-task --fast\n  \
                      isol-trace explain --strict -o log.jsonl -- ./my-task\n\n\
                      With CMD, the exit status is that of CMD (128 + signal if it was killed)."
    )]
    Explain(ExplainArgs),

    /// Write a log in another format, to stdout.
    #[command(
        after_help = "Examples:\n  isol-trace report --format csv log.jsonl > log.csv\n  \
                      isol-trace report --format csv --where 'dur>5us -remedy:tlb-munmap' log.jsonl\n  \
                      isol-trace record --duration 10s | isol-trace report --format csv -"
    )]
    Report(ReportArgs),

    /// Say what this host isolates, what it leaves noisy and how to mend it.
    ///
    /// Reads settings alone: nothing is attached and no watched CPU is interrupted.
    #[command(
        after_help = "Examples:\n  isol-trace doctor\n  isol-trace doctor --cpus 2-3\n  \
                      isol-trace doctor --json | jq '.findings[] | select(.severity == \"defect\")'\n  \
                      isol-trace doctor --script | sh\n\n\
                      Exit status: 0 no defect; 1 a defect; 2 the request or the host is wrong."
    )]
    Doctor(DoctorArgs),

    /// Print a JSON Schema: that of the records, or that of doctor's report.
    #[command(
        after_help = "Examples:\n  isol-trace schema > isol-trace.schema.json\n  isol-trace schema doctor"
    )]
    Schema {
        /// Of what: log or doctor.
        #[arg(
            value_name = "FORMAT",
            default_value = "log",
            hide_possible_values = true
        )]
        format: Format,
    },

    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  mkdir -p ~/.local/share/bash-completion/completions\n  \
                      isol-trace completions bash > ~/.local/share/bash-completion/completions/isol-trace"
    )]
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },

    /// Print a manual page: that of isol-trace, or that of one of its commands.
    #[command(after_help = "Example:\n  isol-trace man record | man -l -")]
    Man {
        /// The command.
        #[arg(value_name = "COMMAND", value_parser = ["top", "record", "explain", "report", "doctor", "schema", "completions", "man"])]
        command: Option<String>,
    },
}

/// What isol-trace writes for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The records of a log.
    Log,
    /// The report of `doctor --json`.
    Doctor,
}

/// What is watched, and what is kept of it.
#[derive(Clone, Debug, Default, Args)]
pub struct WatchArgs {
    /// Watch exactly these CPUs, such as 1-3,5 [default: every isolated CPU].
    #[arg(long, value_name = "LIST", value_hint = ValueHint::Other, value_parser = value::cpus, allow_negative_numbers = true)]
    pub cpus: Option<CpuSet>,

    /// Count only entries of this process, or thread; may be repeated.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = value::pid, allow_negative_numbers = true)]
    pub pid: Vec<Pid>,

    /// Count only entries of threads with this name; may be repeated.
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other, value_parser = value::comm)]
    pub comm: Vec<Comm>,

    /// Keep the user stack of whoever interrupts a watched CPU: 4 KiB are copied each time, on
    /// its own CPU.
    #[arg(long)]
    pub user_stacks: bool,

    /// Memory for names of functions and source lines: what the process that reads programs' files may take.
    #[arg(long, value_name = "SIZE", default_value_t, value_hint = ValueHint::Other, value_parser = value::symbol_memory)]
    pub symbol_memory: SymbolMemory,

    /// Look for debug information in this directory too, as below /usr/lib/debug; may be repeated.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub debug_dir: Vec<PathBuf>,
}

/// What the isolated section of a command that is started means.
#[derive(Clone, Debug, Default, Args)]
pub struct SectionArgs {
    /// Start the account when CMD says that it is isolated, with prctl 0x49534f4c, so that
    /// its start is no breach.
    #[arg(long)]
    pub from_prctl: bool,

    /// Kill CMD, or send it this signal, at its first breach after it says that it is isolated, with
    /// prctl 0x49534f4c; needs no patched kernel. The system call itself still runs.
    #[arg(
        long,
        value_name = "SIGNAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "KILL",
        value_hint = ValueHint::Other,
        value_parser = value::signal
    )]
    pub strict: Option<Signal>,
}

/// What was typed after `top`.
#[derive(Clone, Debug, Default, Args)]
pub struct TopArgs {
    /// What is watched, and what is kept of it.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// What was typed after `doctor`.
#[derive(Clone, Debug, Default, Args)]
pub struct DoctorArgs {
    /// Look at exactly these CPUs, such as 1-3,5 [default: every isolated CPU].
    #[arg(long, value_name = "LIST", value_hint = ValueHint::Other, value_parser = value::cpus, allow_negative_numbers = true)]
    pub cpus: Option<CpuSet>,

    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,

    /// Print a shell script that mends what commands can mend, to be run as root.
    #[arg(long, conflicts_with = "json")]
    pub script: bool,
}

/// What was typed after `record`.
#[derive(Clone, Debug, Default, Args)]
pub struct RecordArgs {
    /// Write to this new file, as JSON Lines; - is stdout [default: stdout; lines for people where
    /// that is a terminal].
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    /// Replace the file that is there.
    #[arg(long, requires = "output")]
    pub force: bool,

    /// What is watched, and what is kept of it.
    #[command(flatten)]
    pub watch: WatchArgs,

    /// Stop after this time, such as 500ms, 60s or 10m.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = value::time, allow_negative_numbers = true)]
    pub duration: Option<Duration>,

    /// What the command's isolated section means.
    #[command(flatten)]
    pub section: SectionArgs,

    /// Say which probes would attach, and stop: no entry is recorded, CMD is not started.
    #[arg(long)]
    pub dry_run: bool,

    /// Measure how long each program of the tracer runs; costs every program about 40 ns a run.
    #[arg(long)]
    pub bpf_stats: bool,

    /// Size of each watched CPU's ring: a power of two, such as 64K or 1M.
    #[arg(long, value_name = "SIZE", default_value_t, value_hint = ValueHint::Other, value_parser = value::ring_size, allow_negative_numbers = true)]
    pub ring_size: RingSize,

    /// Start this command on the watched CPUs once the probes are in place, and stop when it
    /// ends.
    #[arg(last = true, value_names = ["CMD", "ARG"], num_args = 1.., value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// What was typed after `report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// What to write.
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = value::formats(),
        help = value::about_formats(),
        hide_possible_values = true
    )]
    pub format: &'static consume::Format,

    /// Take only the breaches that this filter takes; docs/filters.md describes the language.
    #[arg(long = "where", value_name = "FILTER", value_parser = value::filter, allow_hyphen_values = true)]
    pub filter: Option<Filter>,

    /// The log to read; - is stdin.
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub log: PathBuf,
}

/// What was typed after `explain`.
#[derive(Clone, Debug, Default, Args)]
pub struct ExplainArgs {
    /// The log to read; - is stdin.
    #[arg(
        value_name = "LOG",
        value_hint = ValueHint::FilePath,
        conflicts_with_all = ["cpus", "pid", "comm", "user_stacks", "debug_dir", "from_prctl", "strict", "output", "force", "command"]
    )]
    pub log: Option<PathBuf>,

    /// Keep the log of CMD in this new file.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    /// Replace the file that is there.
    #[arg(long, requires = "output")]
    pub force: bool,

    /// What is watched, and what is kept of it: user stacks always are.
    #[command(flatten)]
    pub watch: WatchArgs,

    /// What the command's isolated section means.
    #[command(flatten)]
    pub section: SectionArgs,

    /// Start this command on the watched CPUs once the probes are in place, and tell of it when it
    /// has ended.
    #[arg(last = true, value_names = ["CMD", "ARG"], num_args = 1.., value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// The whole command line, for help, completions and manual pages.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

/// A usage error of clap's as one sentence. `asked` is what was typed.
#[must_use]
pub fn usage_sentence(error: &clap::Error, asked: &[OsString]) -> String {
    let rendered = error.render().to_string();
    let mut sentence = String::new();
    let mut tips = 0;
    for line in rendered.lines().map(str::trim) {
        tips += u32::from(line.starts_with("tip: "));
        // Of several tips the first is the nearest.
        if line.starts_with("Usage:") || line.starts_with("For more information") || tips > 1 {
            break;
        }
        let (separator, text) = match line.strip_prefix("tip: ") {
            Some(tip) => ("; ", tip),
            None => (" ", line.trim_start_matches("error: ")),
        };
        if !sentence.is_empty() && !text.is_empty() {
            sentence.push_str(separator);
        }
        sentence.push_str(text);
    }
    let definition = definition();
    let command = asked
        .get(1)
        .and_then(|word| word.to_str())
        .filter(|&word| definition.find_subcommand(word).is_some());
    let missing = command.and_then(|command| missing_value(&definition, command, error, asked));
    if let Some(missing) = missing {
        sentence = missing;
    } else if error.kind() == ErrorKind::ArgumentConflict
        && command == Some("explain")
        && let Some(word) = signal_behind_strict(asked)
    {
        // The parser takes it for the log.
        sentence = format!(
            "unexpected argument '{word}' found; {}",
            strict_equals(word)
        );
    } else if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg)
        && let Some(hint) = hint(command.unwrap_or_default(), word, asked)
    {
        // Nearer than what the parser makes of it.
        sentence = format!("unexpected argument '{word}' found; {hint}");
    }
    let command = command.map_or_else(String::new, |word| format!("{word} "));
    format!("{sentence} (see isol-trace {command}--help)")
}

/// The sentence where a word that begins with a hyphen stands behind an option that has a value.
fn missing_value(
    definition: &clap::Command,
    command: &str,
    error: &clap::Error,
    asked: &[OsString],
) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let ContextValue::String(word) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    // Of `-5s` the parser tells the first letter.
    let place = asked.iter().position(|it| {
        it.to_str()
            .is_some_and(|it| it == word || (!word.starts_with("--") && it.starts_with(word)))
    })?;
    let option = asked.get(place.checked_sub(1)?)?.to_str()?;
    let takes_value = |arg: &clap::Arg| {
        let is_it = match option.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => arg
                .get_short()
                .is_some_and(|short| option == format!("-{short}")),
        };
        is_it && arg.get_action().takes_values() && !arg.is_require_equals_set()
    };
    let command = definition.find_subcommand(command)?;
    command.get_arguments().any(takes_value).then(|| {
        format!(
            "a value is missing behind '{option}'; one that begins with a hyphen follows an equals sign"
        )
    })
}

/// What is wrong with a command line that can be parsed, as one sentence.
#[must_use]
pub fn missing_command(command: &Command, asked: &[OsString]) -> Option<String> {
    let (name, words) = match command {
        Command::Record(args) => ("record", &args.command),
        Command::Explain(args) => ("explain", &args.command),
        _ => return None,
    };
    // The parser takes a last `--` for none.
    (words.is_empty() && asked.last().is_some_and(|word| word == "--"))
        .then(|| format!("no command to start follows '--' (see isol-trace {name} --help)"))
}

/// The signal that stands as a word of its own behind `--strict`.
fn signal_behind_strict(asked: &[OsString]) -> Option<&str> {
    let mut words = asked.iter().take_while(|word| *word != "--");
    words.find(|word| *word == "--strict")?;
    let word = words.next()?.to_str()?;
    value::signal(word).is_ok().then_some(word)
}

fn strict_equals(word: &str) -> String {
    format!("the signal stands behind an equals sign, as in --strict={word}")
}

/// What was probably meant by a word that the command does not know.
fn hint(command: &str, word: &str, asked: &[OsString]) -> Option<String> {
    let starts_commands = matches!(command, "record" | "explain");
    if starts_commands && signal_behind_strict(asked) == Some(word) {
        return Some(strict_equals(word));
    }
    if starts_commands && !word.starts_with('-') {
        return Some(format!(
            "a command to start comes after --, as in '-- {word}'"
        ));
    }
    Some(match (command, word) {
        ("record", "--json") => {
            "record writes JSON as it is: to a file with -o FILE, to stdout with -o -".to_owned()
        }
        ("record", word) if word.starts_with("-d") && !word.starts_with("--") => {
            "the time to record is given as in --duration 5s".to_owned()
        }
        ("record" | "explain", word) if word.starts_with("-p") && !word.starts_with("--") => {
            "a process is named as in --pid 1234".to_owned()
        }
        (_, "--json") => "only doctor has it; record writes JSON as it is".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Cli::try_parse_from(&words)
            .map(|cli| cli.command)
            .map_err(|error| usage_sentence(&error, &words))
    }

    fn record(line: &str) -> RecordArgs {
        match parse(line) {
            Ok(Command::Record(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn a_command_that_is_announced_is_missed() {
        let missing = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            missing_command(&parse(line).unwrap(), &words)
        };
        assert_eq!(
            missing("isol-trace record --cpus 1 --").as_deref(),
            Some("no command to start follows '--' (see isol-trace record --help)")
        );
        assert!(missing("isol-trace explain --").is_some());
        assert_eq!(missing("isol-trace record -- cmd --"), None);
        assert_eq!(missing("isol-trace record"), None);
    }

    #[test]
    fn manual_pages_exist_for_every_command() {
        for command in definition().get_subcommands() {
            let line = format!("isol-trace man {}", command.get_name());
            assert!(matches!(
                parse(&line),
                Ok(Command::Man { command: Some(_) })
            ));
        }
    }

    #[test]
    fn the_synopsis_of_the_contract_parses() {
        let args = record(
            "isol-trace record -o log --cpus 1-3,5 --pid 7 --pid 8 --comm spin --user-stacks \
             --duration 500ms --from-prctl --strict=usr1 --dry-run --bpf-stats --ring-size 64K \
             -- cmd --cpus 9 -o x",
        );
        assert_eq!(args.output, Some(PathBuf::from("log")));
        assert_eq!(args.watch.cpus, Some("1-3,5".parse().unwrap()));
        assert_eq!(args.watch.pid, [Pid(7), Pid(8)]);
        assert_eq!(args.watch.comm[0].as_str(), "spin");
        assert!(args.watch.user_stacks);
        assert_eq!(args.duration, Some(Duration::from_millis(500)));
        assert_eq!(args.section.strict, Signal::new(10));
        assert!(args.section.from_prctl && args.dry_run && args.bpf_stats);
        assert_eq!(args.ring_size.bytes(), 64 << 10);
        assert_eq!(args.command, ["cmd", "--cpus", "9", "-o", "x"]);
    }

    #[test]
    fn the_defaults_are_stdout_and_a_mebibyte() {
        let args = record("isol-trace record");
        assert_eq!(args.output, None);
        assert_eq!(args.ring_size.bytes(), 1 << 20);
        assert!(args.command.is_empty() && args.watch.cpus.is_none());
        assert!(!args.watch.user_stacks);
    }

    #[test]
    fn strict_mode_kills_unless_another_signal_is_named() {
        let strict = |line: &str| record(line).section.strict;
        assert_eq!(strict("isol-trace record -- cmd"), None);
        let bare = record("isol-trace record --strict -- cmd");
        assert_eq!(bare.section.strict, Some(Signal::KILL));
        assert_eq!(bare.command, ["cmd"]);
        assert_eq!(
            parse("isol-trace record --strict=NOPE -- cmd").unwrap_err(),
            "invalid value 'NOPE' for '--strict[=<SIGNAL>]': a signal is a name or a number, such as KILL, \
             SIGUSR1 or 10 (see isol-trace record --help)"
        );
    }

    #[test]
    fn usage_errors_are_one_sentence() {
        for (line, expected) in [
            (
                "isol-trace record --cpu 1",
                "unexpected argument '--cpu' found; a similar argument exists: '--cpus' \
                 (see isol-trace record --help)",
            ),
            (
                "isol-trace record --json",
                "unexpected argument '--json' found; record writes JSON as it is: to a file with -o FILE, \
                 to stdout with -o - (see isol-trace record --help)",
            ),
            (
                "isol-trace record -d 5",
                "unexpected argument '-d' found; the time to record is given as in --duration 5s \
                 (see isol-trace record --help)",
            ),
            (
                "isol-trace record --strict USR1 -- cmd",
                "unexpected argument 'USR1' found; the signal stands behind an equals sign, as in \
                 --strict=USR1 (see isol-trace record --help)",
            ),
            (
                "isol-trace explain --strict USR1 -- cmd",
                "unexpected argument 'USR1' found; the signal stands behind an equals sign, as in \
                 --strict=USR1 (see isol-trace explain --help)",
            ),
            (
                "isol-trace explain --strict USR1",
                "unexpected argument 'USR1' found; the signal stands behind an equals sign, as in \
                 --strict=USR1 (see isol-trace explain --help)",
            ),
            (
                "isol-trace record --cpus -1",
                "invalid value '-1' for '--cpus <LIST>': '-1' is not a CPU number; a list looks like 1-3,5 \
                 (see isol-trace record --help)",
            ),
            (
                "isol-trace record --duration -5s",
                "a value is missing behind '--duration'; one that begins with a hyphen follows an equals sign \
                 (see isol-trace record --help)",
            ),
            (
                "isol-trace record --comm -x",
                "a value is missing behind '--comm'; one that begins with a hyphen follows an equals sign \
                 (see isol-trace record --help)",
            ),
            (
                "isol-trace top --symbol-memory -q",
                "a value is missing behind '--symbol-memory'; one that begins with a hyphen follows an equals sign \
                 (see isol-trace top --help)",
            ),
            (
                "isol-trace record --strict=STOP -- cmd",
                "invalid value 'STOP' for '--strict[=<SIGNAL>]': a breach is answered with a signal that ends \
                 a program unless it handles it, such as KILL, TERM, USR1 or RTMIN, and SIGSTOP is none \
                 (see isol-trace record --help)",
            ),
            (
                "isol-trace recrod",
                "unrecognized subcommand 'recrod'; a similar subcommand exists: 'record' \
                 (see isol-trace --help)",
            ),
            (
                "isol-trace",
                "'isol-trace' requires a subcommand but one was not provided \
                 [subcommands: top, record, explain, report, doctor, schema, completions, man, help] (see isol-trace --help)",
            ),
        ] {
            assert_eq!(parse(line).unwrap_err(), expected);
        }
    }
}
