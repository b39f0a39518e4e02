use std::{fs, path::Path, sync::Arc};

use async_trait::async_trait;
use steadfast_dev_server::{
    Asset, AssetError, AssetName, AssetSource, EmbeddedAssets, FolderAssets, conformance,
};
use tempfile::TempDir;

/// A folder that lasts as long as its source.
#[derive(Debug)]
struct TempFolder {
    assets: FolderAssets,
    _folder: TempDir,
}

#[async_trait]
impl AssetSource for TempFolder {
    async fn find(&self, name: &AssetName) -> Result<Option<Arc<Asset>>, AssetError> {
        self.assets.find(name).await
    }
}

pub(crate) fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn embedded_assets_conform() {
    conformance::asset_source(&|files| {
        let files = files
            .iter()
            .map(|(name, content)| (*name, content.to_vec()));
        Arc::new(EmbeddedAssets::new(files).unwrap())
    })
    .await;
}

#[tokio::test]
async fn folder_assets_conform() {
    conformance::asset_source(&|files| {
        let folder = TempDir::new().unwrap();
        for (name, content) in files {
            write(folder.path(), name, content);
        }
        let assets = FolderAssets::open(folder.path()).unwrap();
        Arc::new(TempFolder {
            assets,
            _folder: folder,
        })
    })
    .await;
}
