//! What the binary can be told: defaults < TOML file < environment < flags.
//!
//! [`KEYS`] is the one table of all keys: the file's keys, the `STEADFAST_*` variables, the flags,
//! the example file and the documentation are read off it.

mod key;
mod layers;
mod settings;

pub use key::{KEYS, Key};
pub use layers::{ConfigError, Layers, Source, Value};
pub use settings::{Config, DatabaseUrl, LogFormat};
