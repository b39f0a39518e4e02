/// One thing that can be configured.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the file; `STEADFAST_` and the name in capitals is the variable, the name with
    /// hyphens the flag.
    pub name: &'static str,
    /// What holds where nothing is said; `None`: it is unset.
    pub default: Option<&'static str>,
    /// What it is for, in one line.
    pub help: &'static str,
    /// Whether its value may carry a password, and so is never printed.
    pub secret: bool,
}

impl Key {
    /// The environment variable's name.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("STEADFAST_{}", self.name.to_uppercase())
    }

    /// The flag's name, without its dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The key with that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The known name that is spelled most like `name`, if one is near.
    #[must_use]
    pub fn nearest(name: &str) -> Option<&'static str> {
        KEYS.iter()
            .map(|key| (strsim::jaro_winkler(key.name, name), key.name))
            .filter(|(similarity, _)| *similarity > 0.75)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, nearest)| nearest)
    }
}

const fn key(name: &'static str, default: Option<&'static str>, help: &'static str) -> Key {
    Key {
        name,
        default,
        help,
        secret: false,
    }
}

/// Every key there is.
pub const KEYS: &[Key] = &[
    key(
        "listen",
        Some("127.0.0.1:8080"),
        "address and port of the API, the page and /ws",
    ),
    key(
        "admin_listen",
        Some("127.0.0.1:8081"),
        "address and port of /metrics and the probes",
    ),
    key(
        "data_dir",
        Some("./steadfast-data"),
        "folder of the database and the set-up token",
    ),
    Key {
        name: "database_url",
        default: None,
        help: "sqlite://PATH or postgres://USER@HOST/NAME; unset: steadfast.db in data_dir",
        secret: true,
    },
    key(
        "database_busy_timeout",
        Some("5s"),
        "how long a write waits for another process that holds the database",
    ),
    Key {
        name: "redis_url",
        default: None,
        help: "for several instances; this version runs as one, and refuses it",
        secret: true,
    },
    key(
        "public_url",
        None,
        "where browsers reach the service, behind a proxy; https makes cookies Secure",
    ),
    key(
        "webhook_allow",
        None,
        "networks besides public addresses that webhooks may lead to, such as 10.0.0.0/8,::1",
    ),
    key(
        "min_interval",
        Some("60s"),
        "the most frequent schedule that a user may have",
    ),
    key(
        "start_timeout",
        Some("30s"),
        "how long start-up may take in all",
    ),
    key(
        "drain",
        Some("5s"),
        "how long to keep serving after the first signal to stop",
    ),
    key(
        "log",
        Some("info"),
        "tracing filter, such as info or steadfast_scheduler=debug",
    ),
    key("log_format", Some("text"), "text or json"),
];
