//! A server process that cannot outlive its owner.

use std::{
    fs,
    io::{self, Write},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tempfile::TempDir;

use crate::{ServerError, signal::signal};

/// How long a server may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often readiness is looked at.
const READY_POLL: Duration = Duration::from_millis(20);
/// How long the supervisor may take to obey a command.
const OBEY_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether it has.
const OBEY_POLL: Duration = Duration::from_millis(2);
/// How long the end of a server is waited for before its supervisor is killed.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How many ports are tried: between finding a free one and using it, another may take it.
pub(crate) const PORT_TRIES: u32 = 5;

/// Keeps the server and its directory; what it obeys is written at its head.
const SUPERVISOR: &str = include_str!("supervisor.sh");

/// The directory of a server, owned by the user it will run as.
#[derive(Debug)]
pub(crate) struct ServerDir {
    directory: TempDir,
    /// The user to become, if we are root.
    user: Option<User>,
}

#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl ServerDir {
    /// A new directory; servers in it run as `account`, or as `nobody` where there is no such
    /// account, if we are root, and as ourselves if not.
    pub(crate) fn new(program: &'static str, account: &str) -> Result<Self, ServerError> {
        let create = || {
            let directory = tempfile::Builder::new()
                .prefix(&format!("steadfast-{program}-"))
                .tempdir()?;
            let user = unprivileged_user(account)?;
            if let Some(user) = user {
                chown(directory.path(), Some(user.uid), Some(user.gid))?;
            }
            Ok(Self { directory, user })
        };
        create().map_err(|source| ServerError::Directory { program, source })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the file `name`, which the server can read.
    pub(crate) fn write(
        &self,
        name: &str,
        text: &str,
        program: &'static str,
    ) -> Result<(), ServerError> {
        // Nobody else gets into the directory.
        fs::write(self.path().join(name), text)
            .map_err(|source| ServerError::Directory { program, source })
    }

    /// Makes the directory `name` in this one one that is really in `elsewhere`, which has to
    /// see to its removal.
    pub(crate) fn link(
        &self,
        name: &str,
        elsewhere: &Path,
        program: &'static str,
    ) -> Result<(), ServerError> {
        let link = || {
            let target = tempfile::Builder::new().tempdir_in(elsewhere)?;
            if let Some(user) = self.user {
                chown(target.path(), Some(user.uid), Some(user.gid))?;
            }
            symlink(target.keep(), self.path().join(name))
        };
        link().map_err(|source| ServerError::Directory { program, source })
    }

    /// Starts `program` under a supervisor that kills it when we are gone.
    pub(crate) fn spawn(
        self,
        name: &'static str,
        program: &Path,
        args: &[String],
    ) -> Result<Server, ServerError> {
        let mut command = Command::new("sh");
        command
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(self.path())
            .arg(program)
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C in the terminal is for the test; its death then ends the server.
            .process_group(0);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let supervisor = command.spawn().map_err(|source| ServerError::Spawn {
            program: "sh".to_owned(),
            source,
        })?;
        Ok(Server {
            name,
            supervisor,
            directory: self.directory,
            commands: Mutex::new(0),
        })
    }
}

/// A running server; dropping it ends it and removes its directory.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    supervisor: Child,
    directory: TempDir,
    /// How many commands the supervisor was given.
    commands: Mutex<u64>,
}

impl Server {
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The server's process id, while its supervisor has one.
    pub(crate) fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.directory().join("pid")).ok()?;
        text.trim().parse().ok()
    }

    /// Has the supervisor obey `command` (`kill`, `pause` or `resume`); blocks until it has.
    ///
    /// # Panics
    ///
    /// If the supervisor is gone or does not obey.
    pub(crate) fn command(&self, command: &str) {
        let number = self.tell(command);
        for _ in 0..OBEY_WITHIN.as_millis() / OBEY_POLL.as_millis() {
            if self.obeyed() >= number {
                return;
            }
            std::thread::sleep(OBEY_POLL);
        }
        panic!("the supervisor of `{}` did not {command}", self.name);
    }

    /// Shuts the server down where it runs and starts it again; it need not be ready yet.
    pub(crate) async fn restart(&self) -> Result<(), ServerError> {
        let number = self.tell("restart");
        let obey = async {
            while self.obeyed() < number {
                tokio::time::sleep(OBEY_POLL).await;
            }
        };
        let outcome = tokio::time::timeout(OBEY_WITHIN, obey).await;
        outcome.map_err(|_| ServerError::NotReady {
            program: self.name,
            within: OBEY_WITHIN,
            log: self.log(),
        })
    }

    /// Gives the supervisor a command and returns its number.
    fn tell(&self, command: &str) -> u64 {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        *commands += 1;
        let told = match &self.supervisor.stdin {
            Some(stdin) => (&*stdin).write_all(format!("{command}\n").as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        if let Err(error) = told {
            panic!("the supervisor of `{}` is gone: {error}", self.name);
        }
        *commands
    }

    fn obeyed(&self) -> u64 {
        let text = fs::read_to_string(self.directory().join("obeyed")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Waits until `is_ready` says so.
    pub(crate) async fn ready<F, R>(&self, is_ready: F) -> Result<(), ServerError>
    where
        F: Fn() -> R + Send + Sync,
        R: Future<Output = bool> + Send,
    {
        let poll = async {
            // The server may answer before its supervisor has written the pid down.
            while self.pid().is_none() || !is_ready().await {
                if self.pid().is_some_and(has_ended) {
                    return Err(ServerError::Ended {
                        program: self.name,
                        log: self.log(),
                    });
                }
                tokio::time::sleep(READY_POLL).await;
            }
            Ok(())
        };
        match tokio::time::timeout(READY_WITHIN, poll).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ServerError::NotReady {
                program: self.name,
                within: READY_WITHIN,
                log: self.log(),
            }),
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.directory().join("log")).unwrap_or_default();
        log.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input tells the supervisor to end the server and remove the directory.
        drop(self.supervisor.stdin.take());
        for _ in 0..END_WITHIN.as_millis() / 10 {
            match self.supervisor.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // Out of patience. What fails here has ended meanwhile.
        if let Some(pid) = self.pid() {
            let _ = signal("KILL", &format!("-{pid}"));
        }
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// A TCP port of the loopback interface that nobody listened on a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The file `name` in one of `directories` or in `PATH`.
pub(crate) fn find_program(name: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    directories
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Whether the process is gone, or dead and only not yet waited for.
fn has_ended(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state follows the command's name, which is in parentheses and may contain any.
        Ok(stat) => stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

fn unprivileged_user(account: &str) -> io::Result<Option<User>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    [account, "nobody"]
        .iter()
        .find_map(|name| passwd.lines().find_map(|line| parse_user(line, name)))
        .map(Some)
        .ok_or_else(|| io::Error::other(format!("neither user `{account}` nor `nobody` exists")))
}

fn parse_user(line: &str, account: &str) -> Option<User> {
    let mut fields = line.split(':');
    if fields.next() != Some(account) {
        return None;
    }
    Some(User {
        uid: fields.nth(1)?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}
