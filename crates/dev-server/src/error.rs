use std::{error::Error, io, path::PathBuf};

/// Why assets could not be named, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// A name that no asset can have.
    #[error("asset name {name:?} {reason}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// What is wrong with it, to be read after the name.
        reason: &'static str,
    },

    /// Two assets of one name in a table.
    #[error("asset {name:?} is there twice")]
    DuplicateName {
        /// The name.
        name: String,
    },

    /// A folder of assets that cannot be opened.
    #[error("asset folder {} cannot be opened", path.display())]
    OpenFolder {
        /// The folder as given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// An asset larger than its source serves.
    #[error("asset {name:?} is larger than {max_bytes} bytes")]
    TooLarge {
        /// The name.
        name: String,
        /// The source's limit.
        max_bytes: u64,
    },

    /// An asset that exists, as far as is known, and cannot be read.
    #[error("asset {name:?} cannot be read")]
    Read {
        /// The name.
        name: String,
        /// Whether another attempt may succeed.
        transient: bool,
        /// What the source said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl AssetError {
    /// Whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Read {
                transient: true,
                ..
            }
        )
    }
}
