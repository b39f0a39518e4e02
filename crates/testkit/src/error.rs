use std::{io, time::Duration};

use thiserror::Error;

/// Why a private server or disk is not there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The program is not installed.
    #[error("`{program}` is not installed; on Debian: apt-get install {package}")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// This process may not do what is needed.
    #[error("`{program}` is not permitted, it needs root: {output}")]
    NotPermitted {
        /// The program that was refused.
        program: &'static str,
        /// What it printed.
        output: String,
    },
    /// The server's directory could not be prepared.
    #[error("cannot prepare the directory of `{program}`")]
    Directory {
        /// The server.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program that prepares or commands the server failed.
    #[error("`{program}` failed: {output}")]
    Command {
        /// The program.
        program: String,
        /// What it printed.
        output: String,
    },
    /// The server ended before it was ready.
    #[error("`{program}` ended before it was ready: {log}")]
    Ended {
        /// The server.
        program: &'static str,
        /// What it logged.
        log: String,
    },
    /// The server was not ready in time.
    #[error("`{program}` was not ready within {within:?}: {log}")]
    NotReady {
        /// The server.
        program: &'static str,
        /// How long it was waited for.
        within: Duration,
        /// What it logged.
        log: String,
    },
}
