use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;

use crate::{AssetName, Encoding, etag::ETag};

/// One built file, in memory, with what HTTP says about it.
///
/// Making one hashes its content, once; after that it is shared and never copied.
#[derive(Clone, Debug)]
pub struct Asset {
    content_type: HeaderValue,
    modified: Option<SystemTime>,
    identity: Representation,
    encoded: Vec<(Encoding, Representation)>,
}

/// The bytes of an asset in one encoding.
#[derive(Clone, Debug)]
pub(crate) struct Representation {
    pub(crate) bytes: Bytes,
    pub(crate) etag: ETag,
}

impl Asset {
    /// An asset whose content type follows from the name's extension.
    #[must_use]
    pub fn new(name: &AssetName, bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type(name),
            modified: None,
            identity: Representation::new(bytes.into()),
            encoded: Vec::new(),
        }
    }

    /// Sets the content type where the extension does not tell it.
    #[must_use]
    pub fn with_content_type(mut self, content_type: HeaderValue) -> Self {
        self.content_type = content_type;
        self
    }

    /// Sets when the content last changed, where that is known.
    #[must_use]
    pub fn with_modified(mut self, modified: SystemTime) -> Self {
        self.modified = Some(modified);
        self
    }

    /// Adds the same content in an encoding; a second one in that encoding takes the place of the
    /// first.
    #[must_use]
    pub fn with_encoding(mut self, encoding: Encoding, bytes: impl Into<Bytes>) -> Self {
        self.encoded.retain(|(other, _)| *other != encoding);
        self.encoded
            .push((encoding, Representation::new(bytes.into())));
        self
    }

    /// The content.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.identity.bytes
    }

    /// The content in an encoding, if it was built in that.
    #[must_use]
    pub fn encoded(&self, encoding: Encoding) -> Option<&Bytes> {
        self.representation(Some(encoding))
            .map(|representation| &representation.bytes)
    }

    /// The content type.
    #[must_use]
    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }

    /// When the content last changed, where that is known.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// The memory that the content takes in all its encodings, in bytes.
    pub(crate) fn size(&self) -> u64 {
        let encoded = self.encoded.iter().map(|(_, r)| r.len()).sum::<u64>();
        self.identity.len() + encoded
    }

    pub(crate) fn is_negotiable(&self) -> bool {
        !self.encoded.is_empty()
    }

    pub(crate) fn identity(&self) -> &Representation {
        &self.identity
    }

    pub(crate) fn representation(&self, encoding: Option<Encoding>) -> Option<&Representation> {
        match encoding {
            None => Some(&self.identity),
            Some(encoding) => self
                .encoded
                .iter()
                .find(|(other, _)| *other == encoding)
                .map(|(_, representation)| representation),
        }
    }
}

impl Representation {
    fn new(bytes: Bytes) -> Self {
        Self {
            etag: ETag::of(&bytes),
            bytes,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Builds write text as UTF-8, and a browser has to be told.
fn content_type(name: &AssetName) -> HeaderValue {
    let mime = mime_guess::from_path(name.as_str()).first_raw();
    let text = match mime {
        Some(mime) if mime.starts_with("text/") => format!("{mime}; charset=utf-8"),
        Some(mime) => return HeaderValue::from_static(mime),
        None => return HeaderValue::from_static("application/octet-stream"),
    };
    HeaderValue::from_maybe_shared(Bytes::from(text))
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_follows_from_the_extension() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("assets/a.js", "text/javascript; charset=utf-8"),
            ("assets/a.css", "text/css; charset=utf-8"),
            ("logo.svg", "image/svg+xml"),
            ("font.woff2", "font/woff2"),
            ("LICENSE", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
        ] {
            let asset = Asset::new(&AssetName::new(name).unwrap(), "x");
            assert_eq!(asset.content_type(), expected, "{name}");
        }
    }

    #[test]
    fn second_content_in_one_encoding_takes_the_place_of_the_first() {
        let asset = Asset::new(&AssetName::new("a.js").unwrap(), "plain")
            .with_encoding(Encoding::Gzip, "first")
            .with_encoding(Encoding::Gzip, "second!");
        assert_eq!(asset.encoded(Encoding::Gzip).unwrap(), "second!");
        assert_eq!(asset.encoded(Encoding::Brotli), None);
        assert_eq!(asset.size(), 12);
    }
}
