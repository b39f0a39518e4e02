use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Uri;
use steadfast_db_init::{PostgresBackend, PostgresOptions};

use crate::adapters::outbound::{Network, NotANetwork};

use super::{ConfigError, Key, Layers, Source, Value};

/// Everything that the service needs to be told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API, the page and `/ws` are served.
    pub listen: SocketAddr,
    /// Where `/metrics` and the probes are served.
    pub admin_listen: SocketAddr,
    /// The folder of the database and the set-up token.
    pub data_dir: PathBuf,
    /// Which database.
    pub database: DatabaseUrl,
    /// How long a write waits for another process that holds the database.
    pub database_busy_timeout: Duration,
    /// Where browsers reach the service, if not at `listen`.
    pub public_url: Option<Uri>,
    /// Networks besides public addresses that webhooks may lead to.
    pub webhook_allow: Vec<Network>,
    /// The most frequent schedule that a user may have.
    pub min_interval: Duration,
    /// How long start-up may take in all.
    pub start_timeout: Duration,
    /// How long to keep serving after the first signal.
    pub drain: Duration,
    /// Tracing filter.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// Which database, by its URL.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A Postgres server; the whole URL.
    Postgres(String),
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Checks what the layers say.
    ///
    /// # Errors
    ///
    /// The first value that does not fit, with where it was said and what would fit.
    pub fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let data_dir = layers.parse("data_dir", |text| match text {
            "" => Err("must name a folder".to_owned()),
            text => Ok(PathBuf::from(text)),
        })?;
        layers.optional("redis_url", |_| {
            Err::<(), _>(
                "several instances over Redis are not supported by this version".to_owned(),
            )
        })?;
        Ok(Self {
            listen: layers.parse("listen", address)?,
            admin_listen: layers.parse("admin_listen", address)?,
            database: layers
                .optional("database_url", database_url)?
                .unwrap_or_else(|| DatabaseUrl::Sqlite(data_dir.join("steadfast.db"))),
            database_busy_timeout: layers.parse("database_busy_timeout", duration)?,
            public_url: layers.optional("public_url", public_url)?,
            webhook_allow: layers
                .optional("webhook_allow", networks)?
                .unwrap_or_default(),
            min_interval: layers.parse("min_interval", duration)?,
            start_timeout: layers.parse("start_timeout", duration)?,
            drain: layers.parse("drain", duration_or_zero)?,
            log: layers.parse("log", filter)?,
            log_format: layers.parse("log_format", |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("must be `text` or `json`".to_owned()),
            })?,
            data_dir,
        })
    }

    /// The file that holds the one-time set-up token.
    #[must_use]
    pub fn setup_token_file(&self) -> PathBuf {
        self.data_dir.join("setup-token")
    }

    /// The file that remembers who was erased.
    #[must_use]
    pub fn erasure_log(&self) -> PathBuf {
        self.data_dir.join("erasures.log")
    }

    /// Whether cookies are sent over TLS only.
    #[must_use]
    pub fn is_public_https(&self) -> bool {
        self.public_url
            .as_ref()
            .is_some_and(|url| url.scheme_str() == Some("https"))
    }
}

impl Layers {
    fn optional<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(Value { text, source }) = self.get(name) else {
            return Ok(None);
        };
        parse(text)
            .map(Some)
            .map_err(|detail| wrong(name, text, source, detail))
    }

    fn parse<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        self.optional(name, parse)?
            .ok_or_else(|| wrong(name, "", &Source::Default, "must be set".to_owned()))
    }
}

fn wrong(key: &'static str, text: &str, origin: &Source, detail: String) -> ConfigError {
    let secret = Key::named(key).is_some_and(|key| key.secret);
    let text = if secret {
        "…".to_owned()
    } else {
        text.to_owned()
    };
    ConfigError::Value {
        key,
        text,
        origin: origin.clone(),
        detail,
    }
}

fn networks(text: &str) -> Result<Vec<Network>, String> {
    let networks = text.split(',').map(|network| network.trim().parse());
    let networks: Result<_, NotANetwork> = networks.collect();
    networks.map_err(|error| error.to_string())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        Duration::ZERO => Err("must be more than zero".to_owned()),
        duration => Ok(duration),
    }
}

fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let wanted = "must be a duration with its unit, such as 90s, 5m or 1h 30m";
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wanted.to_owned())?;
    let duration = Duration::try_from(duration).map_err(|_| "must not be negative".to_owned())?;
    if duration > Duration::from_secs(366 * 24 * 3600) {
        return Err("must be at most a year".to_owned());
    }
    Ok(duration)
}

fn database_url(text: &str) -> Result<DatabaseUrl, String> {
    let wanted = "must be sqlite://PATH or postgres://USER@HOST/DATABASE";
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(wanted.to_owned());
    };
    match scheme {
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            if path.is_empty() || path == ":memory:" {
                return Err("must name a file: a database in memory would lose everything".into());
            }
            Ok(DatabaseUrl::Sqlite(Path::new(path).to_owned()))
        }
        "postgres" | "postgresql" => PostgresBackend::new(text, PostgresOptions::default())
            .map(|_| DatabaseUrl::Postgres(text.to_owned()))
            .map_err(|error| error.to_string()),
        other => Err(format!("unknown scheme `{other}`; {wanted}")),
    }
}

fn public_url(text: &str) -> Result<Uri, String> {
    let wanted = "must be http://HOST or https://HOST, without a path";
    let url: Uri = text.parse().map_err(|_| wanted.to_owned())?;
    let scheme_fits = matches!(url.scheme_str(), Some("http" | "https"));
    if !scheme_fits || url.authority().is_none() || !matches!(url.path(), "" | "/") {
        return Err(wanted.to_owned());
    }
    Ok(url)
}

fn filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("is not a tracing filter: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn none(_: &str) -> Option<std::ffi::OsString> {
        None
    }

    fn from_file(text: &str) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::from_layers(&Layers::defaults().file(file.path(), "--config")?)
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = Config::from_layers(&Layers::defaults()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.admin_listen.to_string(), "127.0.0.1:8081");
        assert_eq!(
            config.database,
            DatabaseUrl::Sqlite("./steadfast-data/steadfast.db".into())
        );
        assert_eq!(config.min_interval, Duration::from_secs(60));
        assert_eq!(config.drain, Duration::from_secs(5));
    }

    #[test]
    fn environment_overrides_file_and_flag_overrides_both() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"listen = \"127.0.0.1:1\"\ndrain = \"1s\"\nlog = \"warn\"")
            .unwrap();
        let layers = Layers::defaults()
            .file(file.path(), "--config")
            .unwrap()
            .environment(|name| match name {
                "STEADFAST_LISTEN" => Some("127.0.0.1:2".into()),
                "STEADFAST_DRAIN" => Some("2s".into()),
                _ => None,
            })
            .unwrap()
            .flag(Key::named("listen").unwrap(), "127.0.0.1:3".to_owned());
        let config = Config::from_layers(&layers).unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.drain, Duration::from_secs(2));
        assert_eq!(config.log, "warn");
    }

    #[test]
    fn unknown_key_is_rejected_with_the_nearest_name() {
        let error = from_file("lisen = \"127.0.0.1:1\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`lisen`") && error.contains("did you mean `listen`"),
            "{error}"
        );
    }

    #[test]
    fn wrong_value_names_key_value_and_source() {
        let layers = Layers::defaults()
            .environment(|name| (name == "STEADFAST_DRAIN").then(|| "soon".into()))
            .unwrap();
        let error = Config::from_layers(&layers).unwrap_err().to_string();
        for part in ["drain", "soon", "STEADFAST_DRAIN", "90s"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn secret_value_is_not_repeated_in_the_error() {
        let layers = Layers::defaults()
            .environment(|name| {
                (name == "STEADFAST_DATABASE_URL").then(|| "mysql://root:hunter2@db/x".into())
            })
            .unwrap();
        let error = Config::from_layers(&layers).unwrap_err().to_string();
        assert!(
            error.contains("`mysql`") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn secret_is_read_from_the_file_that_the_variable_names() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"postgres://u:p@localhost/x\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let layers = Layers::defaults()
            .environment(|name| {
                (name == "STEADFAST_DATABASE_URL_FILE").then(|| path.clone().into())
            })
            .unwrap();
        let config = Config::from_layers(&layers).unwrap();
        assert_eq!(
            config.database,
            DatabaseUrl::Postgres("postgres://u:p@localhost/x".to_owned())
        );
    }

    #[test]
    fn broken_file_is_told_by_its_line_and_its_secrets_are_not_repeated() {
        let error = from_file("log = \"info\"\ndatabase_url = \"postgres://u:hunter2@h/x\n");
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("line 2") && !error.contains("hunter2"),
            "{error}"
        );
        let error = from_file("database_url = \"postgres://u:hunter2@h:port/x\"").unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("database_url") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn variable_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;

        let broken = |name: &str| {
            (name == "STEADFAST_DRAIN").then(|| std::ffi::OsString::from_vec(vec![0xff]))
        };
        let error = Layers::defaults()
            .environment(broken)
            .unwrap_err()
            .to_string();
        assert!(error.contains("STEADFAST_DRAIN"), "{error}");
    }

    #[test]
    fn in_memory_database_and_zero_interval_are_refused() {
        assert!(from_file("database_url = \"sqlite::memory:\"").is_err());
        assert!(from_file("min_interval = \"0s\"").is_err());
        assert!(from_file("min_interval = \"99999999999h\"").is_err());
        assert!(Layers::defaults().environment(none).is_ok());
    }
}
