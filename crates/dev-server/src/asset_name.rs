use std::fmt;

use crate::AssetError;

/// The name of an asset: a relative path with `/` between its segments, such as
/// `assets/index-BfX3kQ_2.js`.
///
/// Whoever holds one may join it to a folder: it never is empty, absolute or longer than
/// [`MAX_BYTES`](Self::MAX_BYTES), and none of its segments is empty, longer than 255 bytes, `..`,
/// or hidden (begins with a dot; `.well-known` is the exception, RFC 8615) or contains `/`, `\`,
/// `:` or a control character.
///
/// # Examples
///
/// ```
/// use steadfast_dev_server::AssetName;
///
/// let name = AssetName::from_url_path("img/caf%C3%A9.png")?;
/// assert_eq!(name.as_str(), "img/café.png");
/// assert!(AssetName::from_url_path("img/%2e%2e/%2e%2e/etc/passwd").is_err());
/// assert!(AssetName::from_url_path("img%5c..%5csecret").is_err());
/// # Ok::<(), steadfast_dev_server::AssetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssetName(String);

impl AssetName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 1024;

    const MAX_SEGMENT_BYTES: usize = 255;

    /// A name as it stands in a table or a folder.
    ///
    /// # Errors
    ///
    /// [`AssetError::InvalidName`] says which rule it breaks.
    pub fn new(name: impl Into<String>) -> Result<Self, AssetError> {
        let name = name.into();
        match name.split('/').find_map(segment_fault) {
            None if name.len() <= Self::MAX_BYTES => Ok(Self(name)),
            None => Err(invalid(name, "is too long")),
            Some(reason) => Err(invalid(name, reason)),
        }
    }

    /// A name from the path of a URL without its leading slash.
    ///
    /// Each segment is percent-decoded, once, and only then judged: an encoded slash, dot or
    /// backslash gains nothing.
    ///
    /// # Errors
    ///
    /// [`AssetError::InvalidName`] says which rule it breaks.
    pub fn from_url_path(path: &str) -> Result<Self, AssetError> {
        let mut name = String::with_capacity(path.len());
        for (index, encoded) in path.split('/').enumerate() {
            let Some(segment) = percent_decode(encoded) else {
                return Err(invalid(path.into(), "is not percent-encoded UTF-8"));
            };
            if segment.contains('/') {
                return Err(invalid(path.into(), "contains an encoded slash"));
            }
            if index > 0 {
                name.push('/');
            }
            name.push_str(&segment);
        }
        Self::new(name)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        match self.0.rsplit_once('/') {
            Some((_, last)) => last,
            None => &self.0,
        }
    }

    /// What follows the last dot of the last segment, if it has one.
    #[must_use]
    pub fn extension(&self) -> Option<&str> {
        self.file_name()
            .rsplit_once('.')
            .map(|(_, extension)| extension)
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn segment_fault(segment: &str) -> Option<&'static str> {
    if segment.is_empty() {
        Some("has an empty segment")
    } else if segment.len() > AssetName::MAX_SEGMENT_BYTES {
        Some("has a segment that is too long")
    } else if segment.starts_with('.') && segment != ".well-known" {
        Some("has a segment that begins with a dot")
    } else if segment.contains(|c: char| c.is_control() || c == '\\' || c == ':') {
        Some("contains a backslash, a colon or a control character")
    } else {
        None
    }
}

fn invalid(name: String, reason: &'static str) -> AssetError {
    AssetError::InvalidName { name, reason }
}

/// `None` for a broken escape or for bytes that are not UTF-8.
fn percent_decode(encoded: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_path_is_decoded_once() {
        let name = AssetName::from_url_path("a%20b/%C3%BC.txt").unwrap();
        assert_eq!(name.as_str(), "a b/ü.txt");
        assert_eq!((name.file_name(), name.extension()), ("ü.txt", Some("txt")));
        let twice = AssetName::from_url_path("a/%252e%252e/b").unwrap();
        assert_eq!(twice.as_str(), "a/%2e%2e/b");
    }

    #[test]
    fn path_that_could_leave_its_folder_is_refused() {
        for path in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "a/..",
            "%2e%2e/a",
            "a/.%2E/b",
            "a%2fb",
            "a%5cb",
            "a\\b",
            "c:/x",
            "a%00b",
            "a//b",
            "a/",
            ".",
            "./a",
            ".env",
            "a/.git/config",
            "%",
            "%4",
            "%zz",
            "%ff",
        ] {
            let outcome = AssetName::from_url_path(path);
            assert!(
                matches!(outcome, Err(AssetError::InvalidName { .. })),
                "{path:?} gave {outcome:?}"
            );
        }
    }

    #[test]
    fn overlong_name_is_refused() {
        assert!(AssetName::new("a".repeat(255)).is_ok());
        assert!(AssetName::new("a".repeat(256)).is_err());
        assert!(AssetName::new(vec!["a".repeat(63); 16].join("/")).is_ok());
        assert!(AssetName::new(vec!["a".repeat(63); 17].join("/")).is_err());
    }

    #[test]
    fn well_known_folder_is_the_only_hidden_one() {
        assert!(AssetName::new(".well-known/security.txt").is_ok());
        assert!(AssetName::new(".well-known/.secret").is_err());
    }
}
