//! The command line.

mod config_args;
mod config_command;
mod migrate;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::{config_args::ConfigArgs, config_command::ConfigCommand};
use crate::config::ConfigError;

/// Scheduled notifications and realtime push, self-hosted.
#[derive(Debug, Parser)]
#[command(name = "steadfast", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service until it is told to stop (SIGTERM or Ctrl-C).
    Serve {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Brings the database's tables up to date.
    Migrate {
        #[command(flatten)]
        config: ConfigArgs,
        /// Only says what would be done; exits with 1 if there is anything.
        #[arg(long)]
        check: bool,
    },
    /// Looks at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Prints the description of the API.
    Openapi,
}

/// What the process ends with where it was told something wrong.
const USAGE: u8 = 2;

/// What the process ends with where it could not do what it was told.
const FAILURE: u8 = 1;

/// Does what the command line says, and answers with the exit code: 0 done, 1 failed, 2 wrong
/// configuration or usage, 128 + n ended by the third signal n.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve { config } => serve::run(&config),
        Command::Migrate { config, check } => migrate::run(&config, check),
        Command::Config { command } => config_command::run(&command),
        Command::Openapi => openapi(),
    };
    ExitCode::from(outcome.unwrap_or_else(|error| {
        let usage = error.downcast_ref::<ConfigError>().is_some();
        eprintln!("error: {error:#}");
        if usage { USAGE } else { FAILURE }
    }))
}

fn openapi() -> anyhow::Result<u8> {
    say!("{}", crate::http::openapi().to_pretty_json()?);
    Ok(0)
}
