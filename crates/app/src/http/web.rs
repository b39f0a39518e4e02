use rust_embed::RustEmbed;
use steadfast_dev_server::{AssetError, AssetServer, EmbeddedAssets};

/// The built page, part of the binary.
#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Dist;

/// Serves the built page.
pub(super) fn page() -> Result<AssetServer, AssetError> {
    let files = Dist::iter().filter_map(|name| Dist::get(&name).map(|file| (name, file.data)));
    Ok(AssetServer::new(EmbeddedAssets::new(files)?))
}
