//! `schema`, `completions` and `man`: texts that are made from the program itself.

mod manual;

use std::process::ExitCode;

use clap_complete::Shell;

use super::print;
use crate::{
    cli::{self, Format},
    doctor,
    error::Error,
    wire,
};

/// Prints the completion script of a shell.
pub fn completions(shell: Shell) -> Result<ExitCode, Error> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut cli::definition(), "isol-trace", &mut text);
    if shell == Shell::Bash {
        text = in_one_spelling(&String::from_utf8_lossy(&text)).into_bytes();
    }
    print(&text).map(|()| ExitCode::SUCCESS)
}

/// A bash script whose commands have one name: `clap_complete` 4.6.11 sets `isol__trace__subcmd__record` for a program
/// with a dash in its name, and looks for `isol__subcmd__trace__subcmd__record` (`aot/shells/bash.rs`), so that
/// nothing is completed after a command.
fn in_one_spelling(script: &str) -> String {
    script.replace("isol__subcmd__trace", "isol__trace")
}

/// Prints the manual page of isol-trace, or of one of its commands.
pub fn manual(command: Option<&str>) -> Result<ExitCode, Error> {
    let mut definition = cli::definition().disable_help_subcommand(true);
    // Gives the commands their full names.
    definition.build();
    let page = command
        .and_then(|name| definition.find_subcommand(name).cloned())
        .unwrap_or(definition);
    let text = manual::page(page, command == Some("top")).map_err(Error::Stdout)?;
    print(&text).map(|()| ExitCode::SUCCESS)
}

/// Prints the JSON Schema of what isol-trace writes.
pub fn schema(format: Format) -> Result<ExitCode, Error> {
    let schema = match format {
        Format::Log => wire::SCHEMA,
        Format::Doctor => doctor::json::SCHEMA,
    };
    print(schema.as_bytes()).map(|()| ExitCode::SUCCESS)
}
