/// A value given to a builder or constructor that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The field must be at least one.
    #[error("`{field}` must not be zero")]
    Zero {
        /// The builder's method, or the constructor's argument.
        field: &'static str,
    },
    /// The field is larger than the primitive can count.
    #[error("`{field}` must be at most {max}")]
    TooLarge {
        /// The builder's method, or the constructor's argument.
        field: &'static str,
        /// The largest value that works, with its unit.
        max: String,
    },
    /// The field is smaller than another one allows.
    #[error("`{field}` must be at least `{other}`")]
    LessThan {
        /// The builder's method, or the constructor's argument.
        field: &'static str,
        /// The field that it is compared with.
        other: &'static str,
    },
    /// The field works only together with another one, which was not given.
    #[error("`{field}` needs `{other}`")]
    Needs {
        /// The builder's method.
        field: &'static str,
        /// The builder's method that is missing.
        other: &'static str,
    },
    /// The field is not a number, or not one that makes sense.
    #[error("`{field}` must be {allowed}")]
    OutOfRange {
        /// The builder's method, or the constructor's argument.
        field: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl ConfigError {
    /// The builder's method, or the constructor's argument, that was refused.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            ConfigError::Zero { field }
            | ConfigError::TooLarge { field, .. }
            | ConfigError::LessThan { field, .. }
            | ConfigError::Needs { field, .. }
            | ConfigError::OutOfRange { field, .. } => field,
        }
    }
}
