//! `setup`: what the other verbs need on this machine.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::process;

/// Install what is missing on this machine, and say what is done.
///
/// Debian packages: postgresql and redis-server, for the tests that run against real servers (each
/// test starts a private one; the system's own are neither started nor used). Cargo tools:
/// cargo-nextest and cargo-deny, built from source, which takes some minutes each.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only report what is there and what is missing; fail if something is missing.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let missing: Vec<_> = TOOLS.iter().filter(|tool| !(tool.is_present)()).collect();
    for tool in &TOOLS {
        let is_missing = missing.iter().any(|other| other.name == tool.name);
        let state = if is_missing { "missing" } else { "present" };
        println!("{state:<8} {:<14} {}", tool.name, tool.purpose);
    }
    if args.check {
        match missing.len() {
            0 => Ok(()),
            n => bail!(
                "{n} of {} tools are missing: `cargo xtask setup` installs them",
                TOOLS.len()
            ),
        }
    } else {
        install(&missing)
    }
}

/// Something that a verb needs.
struct Tool {
    name: &'static str,
    purpose: &'static str,
    is_present: fn() -> bool,
    source: Source,
}

/// Where a tool comes from.
enum Source {
    /// The Debian package of the same name.
    Debian,
    /// The package of the same name on crates.io, in a version that the `rust-version` compiles.
    Cargo(&'static str),
}

const TOOLS: [Tool; 4] = [
    Tool {
        name: "postgresql",
        purpose: "tests against a real Postgres",
        is_present: has_postgres,
        source: Source::Debian,
    },
    Tool {
        name: "redis-server",
        purpose: "tests against a real Redis",
        is_present: || process::is_installed("redis-server", &["--version"]),
        source: Source::Debian,
    },
    Tool {
        name: "cargo-nextest",
        purpose: "runs the tests (without it: cargo test)",
        is_present: || process::is_installed("cargo", &["nextest", "--version"]),
        source: Source::Cargo("0.9.151"),
    },
    Tool {
        name: "cargo-deny",
        purpose: "checks licences, sources and bans of dependencies",
        is_present: || process::is_installed("cargo", &["deny", "--version"]),
        source: Source::Cargo("0.20.2"),
    },
];

/// Debian keeps the server outside the PATH, one folder a version.
fn has_postgres() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    versions
        .map(|version| version.path().join("bin/postgres"))
        .any(|path| path.exists())
        || process::is_installed("postgres", &["--version"])
}

fn install(missing: &[&Tool]) -> Result<()> {
    let debian: Vec<_> = missing
        .iter()
        .filter(|tool| matches!(tool.source, Source::Debian))
        .map(|tool| tool.name)
        .collect();
    if !debian.is_empty() {
        install_debian(&debian)?;
    }
    for tool in missing {
        if let Source::Cargo(version) = tool.source {
            process::run(process::bare_cargo().args([
                "install",
                "--locked",
                "--version",
                version,
                tool.name,
            ]))?;
        }
    }
    Ok(())
}

fn install_debian(packages: &[&str]) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "this is not a Debian system: install {} by hand",
            packages.join(" and ")
        );
    }
    process::run(&mut apt_get(&["update", "--quiet"])?)?;
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    process::run(apt_get(&install)?.args(packages))
}

/// `apt-get`, as root, without questions. `RUNLEVEL=1` keeps the packages from starting servers.
fn apt_get(arguments: &[&str]) -> Result<Command> {
    let is_root = process::output(Command::new("id").arg("--user"))?.trim() == "0";
    let mut command = Command::new(if is_root { "env" } else { "sudo" });
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"])
        .args(arguments);
    command.stdin(Stdio::null());
    Ok(command)
}
