use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;

use crate::{Asset, AssetError, AssetName};

/// Where built assets come from.
///
/// A source answers by exact name. It attaches precompressed siblings (`app.js.br` and
/// `app.js.gz` beside `app.js`) to the asset as its [encodings](Asset::with_encoding), never
/// falls back to another asset, and may be asked by any number of callers at once. An
/// [`AssetName`] cannot point outside the source; a source that follows links must see to it that
/// they do not lead out of it either.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait AssetSource: Debug + Send + Sync + 'static {
    /// The asset of that name, or `None` where there is none, which a folder is too.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but that the answer is lost.
    ///
    /// # Errors
    ///
    /// [`AssetError`] where the source cannot tell or the asset cannot be read.
    async fn find(&self, name: &AssetName) -> Result<Option<Arc<Asset>>, AssetError>;
}
