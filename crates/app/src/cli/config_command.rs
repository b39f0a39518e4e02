use std::fmt::Write as _;

use clap::Subcommand;

use super::ConfigArgs;
use crate::config::{Config, KEYS};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Says whether the configuration is valid.
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Prints what holds, and where it was said.
    Print {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Prints a configuration file with every key and its default.
    Example,
}

pub(super) fn run(command: &ConfigCommand) -> anyhow::Result<u8> {
    match command {
        ConfigCommand::Check { config } => {
            config.load()?;
            say!("the configuration is valid");
        }
        ConfigCommand::Print { config } => say!("{}", effective(config)?.trim_end()),
        ConfigCommand::Example => say!("{}", example().trim_end()),
    }
    Ok(0)
}

fn effective(config: &ConfigArgs) -> anyhow::Result<String> {
    let layers = config.layers()?;
    Config::from_layers(&layers)?;
    let mut text = String::new();
    for key in KEYS {
        match layers.get(key.name) {
            Some(value) if key.secret => {
                writeln!(text, "{} = \"…\"  # {}", key.name, value.source)?;
            }
            Some(value) => {
                writeln!(text, "{} = {:?}  # {}", key.name, value.text, value.source)?;
            }
            None => writeln!(text, "# {} is unset", key.name)?,
        }
    }
    Ok(text)
}

/// A file that says what holds anyway, as a start for one's own.
fn example() -> String {
    let mut text = "# Configuration of steadfast. Each key can also be an environment variable\n\
         # (STEADFAST_LISTEN, or STEADFAST_LISTEN_FILE for a file that holds the value)\n\
         # or a flag (--listen); flags win over the environment, the environment over this file.\n"
        .to_owned();
    for key in KEYS {
        let value = key.default.unwrap_or("");
        text.push_str(&format!("\n# {}\n# {} = {value:?}\n", key.help, key.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::Layers;

    #[test]
    fn example_with_its_defaults_uncommented_is_what_holds_anyway() {
        let text: String = example()
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = \"") && !line.ends_with("\"\""))
            .map(|line| format!("{line}\n"))
            .collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let defaults = Config::from_layers(&Layers::defaults()).unwrap();
        let from_file =
            Config::from_layers(&Layers::defaults().file(file.path(), "--config").unwrap());
        assert_eq!(format!("{:?}", from_file.unwrap()), format!("{defaults:?}"));
        assert_eq!(
            text.lines().count(),
            KEYS.iter().filter(|key| key.default.is_some()).count()
        );
    }
}
