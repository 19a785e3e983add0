//! `schema`, `completions` and `man`: texts that are made from the program itself.

use std::process::ExitCode;

use clap_complete::Shell;
use clap_mangen::Man;

use super::print;
use crate::{
    cli::{self, Format},
    doctor,
    error::Error,
    sink,
};

/// Prints the completion script of a shell.
pub fn completions(shell: Shell) -> Result<ExitCode, Error> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut cli::definition(), "isol-trace", &mut text);
    print(&text).map(|()| ExitCode::SUCCESS)
}

/// Prints the manual page of isol-trace, or of one of its commands.
pub fn manual(command: Option<&str>) -> Result<ExitCode, Error> {
    let mut definition = cli::definition();
    // Gives the commands their full names.
    definition.build();
    let page = command
        .and_then(|name| definition.find_subcommand(name).cloned())
        .unwrap_or(definition);
    let mut text = Vec::new();
    Man::new(page).render(&mut text).map_err(Error::Stdout)?;
    print(&text).map(|()| ExitCode::SUCCESS)
}

/// Prints the JSON Schema of what isol-trace writes.
pub fn schema(format: Format) -> Result<ExitCode, Error> {
    let schema = match format {
        Format::Log => sink::SCHEMA,
        Format::Doctor => doctor::json::SCHEMA,
    };
    print(schema.as_bytes()).map(|()| ExitCode::SUCCESS)
}
