use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{Config, ConfigError, KEYS, Key, Layers};

/// Names the configuration file where no flag does.
const FILE_VARIABLE: &str = "STEADFAST_CONFIG";

/// The flags that every command with a configuration has: `--config`, and one for each key.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigArgs {
    file: Option<PathBuf>,
    flags: Vec<(&'static Key, String)>,
}

impl ConfigArgs {
    /// The layers over each other: defaults, file, environment, flags.
    pub(super) fn layers(&self) -> Result<Layers, ConfigError> {
        let mut layers = Layers::defaults();
        if let Some(file) = &self.file {
            layers = layers.file(file, "--config")?;
        } else if let Some(file) = std::env::var_os(FILE_VARIABLE) {
            layers = layers.file(Path::new(&file), FILE_VARIABLE)?;
        }
        layers = layers.environment(|name| std::env::var_os(name))?;
        let flags = self.flags.iter();
        Ok(flags.fold(layers, |layers, (key, text)| layers.flag(key, text.clone())))
    }

    /// What the layers say, checked.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        Config::from_layers(&self.layers()?)
    }
}

impl Args for ConfigArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("TOML file to read; STEADFAST_CONFIG names it too");
        let flags = KEYS.iter().map(|key| {
            Arg::new(key.name)
                .long(key.flag())
                .value_name("VALUE")
                .action(ArgAction::Set)
                .help(match key.default {
                    Some(default) => format!("{} [default: {default}]", key.help),
                    None => key.help.to_owned(),
                })
        });
        command.arg(file).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        let said = |key: &'static Key| Some((key, matches.get_one::<String>(key.name)?.clone()));
        self.flags = KEYS.iter().filter_map(said).collect();
        Ok(())
    }
}
