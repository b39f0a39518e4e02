use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use super::{KEYS, Key};

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: it is the default.
    Default,
    /// In the configuration file.
    File(PathBuf),
    /// In an environment variable, by its name.
    Variable(String),
    /// In a flag of the command line, by its name.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// A value as it was said, and where.
#[derive(Clone, Debug)]
pub struct Value {
    /// The text.
    pub text: String,
    /// Where it was said.
    pub source: Source,
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The configuration file, or a file that a `STEADFAST_*_FILE` names, cannot be read.
    #[error("cannot read {path}, named by {named_by}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What named it.
        named_by: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The configuration file is not TOML. The line itself is not repeated: it may hold a secret.
    #[error("{path}, line {line}: {detail}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why.
        detail: String,
    },
    /// A variable is not text.
    #[error("{variable} is not UTF-8")]
    NotText {
        /// The variable.
        variable: String,
    },
    /// The file has a key that does not exist.
    #[error("{path}: unknown key `{key}`{}", nearest.map(|n| format!(", did you mean `{n}`?")).unwrap_or_default(), path = path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The known key most like it.
        nearest: Option<&'static str>,
    },
    /// A value does not fit its key.
    #[error("{key} = {text:?} (from {source_}): {detail}", source_ = origin)]
    Value {
        /// The key.
        key: &'static str,
        /// The value, or dots where it is secret.
        text: String,
        /// Where it was said.
        origin: Source,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// A variable and its `_FILE` variant are both set.
    #[error("{variable} and {variable}_FILE are both set; set one of them")]
    Twice {
        /// The variable.
        variable: String,
    },
}

/// The four layers laid over each other: a value for each key that has one.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<&'static str, Value>,
}

impl Layers {
    /// The defaults alone.
    #[must_use]
    pub fn defaults() -> Self {
        let values = KEYS
            .iter()
            .filter_map(|key| {
                let text = key.default?.to_owned();
                Some((
                    key.name,
                    Value {
                        text,
                        source: Source::Default,
                    },
                ))
            })
            .collect();
        Self { values }
    }

    /// Lays the file at `path`, which `named_by` names, over what is there.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is not TOML, or has a key that does not exist.
    pub fn file(mut self, path: &Path, named_by: &str) -> Result<Self, ConfigError> {
        let text = read(path, named_by)?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            ConfigError::Syntax {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                detail: error.message().to_owned(),
            }
        })?;
        for (name, value) in table {
            let Some(key) = Key::named(&name) else {
                let nearest = Key::nearest(&name);
                return Err(ConfigError::UnknownKey {
                    path: path.to_owned(),
                    key: name,
                    nearest,
                });
            };
            let text = match value {
                toml::Value::String(text) => text,
                other => other.to_string(),
            };
            self.set(key, text, Source::File(path.to_owned()));
        }
        Ok(self)
    }

    /// Lays the environment over what is there: `STEADFAST_X`, or the content of the file that
    /// `STEADFAST_X_FILE` names.
    ///
    /// Unknown `STEADFAST_*` variables are left alone, since orchestrators make some of their own
    /// (Kubernetes' `STEADFAST_SERVICE_HOST`).
    ///
    /// # Errors
    ///
    /// If a file cannot be read, a variable is said both ways, or one is not UTF-8.
    pub fn environment(
        mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let variable = |name: &str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(ConfigError::NotText {
                variable: name.to_owned(),
            }),
        };
        for key in KEYS {
            let name = key.variable();
            let from_file = variable(&format!("{name}_FILE"))?;
            let text = match (variable(&name)?, from_file) {
                (Some(_), Some(_)) => return Err(ConfigError::Twice { variable: name }),
                (Some(text), None) => text,
                (None, Some(path)) => {
                    let text = read(Path::new(&path), &format!("{name}_FILE"))?;
                    text.trim_end_matches(['\r', '\n']).to_owned()
                }
                (None, None) => continue,
            };
            self.set(key, text, Source::Variable(name));
        }
        Ok(self)
    }

    /// Lays one flag over what is there.
    #[must_use]
    pub fn flag(mut self, key: &'static Key, text: String) -> Self {
        self.set(key, text, Source::Flag(key.flag()));
        self
    }

    /// The value of a key, if it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    fn set(&mut self, key: &'static Key, text: String, source: Source) {
        self.values.insert(key.name, Value { text, source });
    }
}

fn read(path: &Path, named_by: &str) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        named_by: named_by.to_owned(),
        source,
    })
}
