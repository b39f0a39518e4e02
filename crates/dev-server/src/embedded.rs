use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Asset, AssetError, AssetName, AssetSource, Encoding};

/// Assets that are part of the program, from any table of names and contents.
///
/// Everything that can be known is worked out once, when the table is taken over; a look-up
/// hashes a name and reads no file. Borrowed contents are not copied.
///
/// # Examples
///
/// A table by hand:
///
/// ```
/// use steadfast_dev_server::EmbeddedAssets;
///
/// const TABLE: [(&str, &str); 2] = [
///     ("index.html", "<!doctype html><title>Hello</title>"),
///     ("robots.txt", "User-agent: *"),
/// ];
/// let assets = EmbeddedAssets::new(TABLE.map(|(name, text)| (name, text.as_bytes())))?;
/// # Ok::<(), steadfast_dev_server::AssetError>(())
/// ```
///
/// What `rust-embed` derived for a type `Dist`:
///
/// ```
/// # use std::borrow::Cow;
/// # use steadfast_dev_server::EmbeddedAssets;
/// # struct Dist;
/// # struct File { data: Cow<'static, [u8]> }
/// # impl Dist {
/// #     fn iter() -> impl Iterator<Item = Cow<'static, str>> { std::iter::once("a.txt".into()) }
/// #     fn get(_: &str) -> Option<File> { Some(File { data: Cow::Borrowed(b"text") }) }
/// # }
/// let files = Dist::iter().filter_map(|name| Dist::get(&name).map(|file| (name, file.data)));
/// let assets = EmbeddedAssets::new(files)?;
/// # Ok::<(), steadfast_dev_server::AssetError>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedAssets {
    assets: HashMap<AssetName, Arc<Asset>>,
}

impl EmbeddedAssets {
    /// Takes over a table.
    ///
    /// Hidden files (a build's `.vite/manifest.json`) are left out, as they are never served.
    /// Where `name.br` or `name.gz` stands beside `name` it is also attached to `name` as an
    /// encoding.
    ///
    /// # Errors
    ///
    /// [`AssetError::InvalidName`] for a name that no asset can have, and
    /// [`AssetError::DuplicateName`] for one that is there twice.
    pub fn new<N, C>(table: impl IntoIterator<Item = (N, C)>) -> Result<Self, AssetError>
    where
        N: Into<String>,
        C: Into<Cow<'static, [u8]>>,
    {
        let mut contents = HashMap::new();
        for (name, content) in table {
            let name = name.into();
            if name.split('/').any(is_hidden) {
                continue;
            }
            match contents.entry(AssetName::new(name)?) {
                Entry::Vacant(vacant) => vacant.insert(into_bytes(content.into())),
                Entry::Occupied(occupied) => {
                    let name = occupied.key().to_string();
                    return Err(AssetError::DuplicateName { name });
                }
            };
        }
        let assets = contents
            .iter()
            .map(|(name, bytes)| (name.clone(), Arc::new(assemble(name, bytes, &contents))))
            .collect();
        Ok(Self { assets })
    }
}

#[async_trait]
impl AssetSource for EmbeddedAssets {
    async fn find(&self, name: &AssetName) -> Result<Option<Arc<Asset>>, AssetError> {
        Ok(self.assets.get(name).cloned())
    }
}

fn is_hidden(segment: &str) -> bool {
    segment.starts_with('.') && !matches!(segment, "." | ".." | ".well-known")
}

fn into_bytes(content: Cow<'static, [u8]>) -> Bytes {
    match content {
        Cow::Borrowed(content) => Bytes::from_static(content),
        Cow::Owned(content) => Bytes::from(content),
    }
}

fn assemble(name: &AssetName, bytes: &Bytes, contents: &HashMap<AssetName, Bytes>) -> Asset {
    let asset = Asset::new(name, bytes.clone());
    Encoding::ALL.into_iter().fold(asset, |asset, encoding| {
        let sibling = AssetName::new(format!("{name}{}", encoding.suffix())).ok();
        match sibling.and_then(|sibling| contents.get(&sibling)) {
            Some(encoded) => asset.with_encoding(encoding, encoded.clone()),
            None => asset,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&'static str]) -> Result<EmbeddedAssets, AssetError> {
        EmbeddedAssets::new(names.iter().map(|&name| (name, name.as_bytes())))
    }

    #[test]
    fn name_that_is_there_twice_is_an_error() {
        let error = table(&["a.js", "b.js", "a.js"]).unwrap_err();
        assert!(matches!(error, AssetError::DuplicateName { name } if name == "a.js"));
    }

    #[test]
    fn name_that_leads_out_of_the_table_is_an_error() {
        for name in ["../a.js", "/a.js", "a\\b.js", "a//b.js", "./a.js"] {
            let error = table(&[name]).unwrap_err();
            assert!(matches!(error, AssetError::InvalidName { .. }), "{name}");
        }
    }

    #[test]
    fn hidden_files_are_left_out() {
        let assets = table(&[".vite/manifest.json", ".well-known/security.txt"]).unwrap();
        assert_eq!(assets.assets.len(), 1);
    }
}
