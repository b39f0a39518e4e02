use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::PayloadError;

/// One JSON value, kept as encoded text and shared without copying.
///
/// It never holds a raw line break: the wire joins messages by newline, so that one inside a
/// payload would tear a message in two. Text that has any (they can only be white space between
/// tokens) is written anew without.
///
/// # Examples
///
/// ```
/// use steadfast_ws_hub::Payload;
///
/// let payload = Payload::from_json("{\n  \"n\": 1\n}")?;
/// assert_eq!(payload.as_str(), r#"{"n":1}"#);
/// assert!(Payload::from_json("{").is_err());
/// # Ok::<(), steadfast_ws_hub::PayloadError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// Encodes a value.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if the value cannot be written as JSON.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        serde_json::to_vec(value)
            .map(|json| Self(json.into()))
            .map_err(|source| PayloadError::Encode { source })
    }

    /// Takes text that is already JSON.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if it is not one JSON value.
    pub fn from_json(text: &str) -> Result<Self, PayloadError> {
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|source| PayloadError::Parse { source })?;
        Self::from_raw(raw)
    }

    pub(crate) fn from_raw(raw: &RawValue) -> Result<Self, PayloadError> {
        let text = raw.get();
        if !text.contains(['\n', '\r']) {
            return Ok(Self(Bytes::copy_from_slice(text.as_bytes())));
        }
        Ok(Self(strip_line_breaks(text).into()))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Both constructors take UTF-8; the fallback is never reached.
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Always false: the shortest JSON value has one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Removes white space between the tokens of valid JSON; inside strings line breaks are escaped
/// and other white space is content.
fn strip_line_breaks(json: &str) -> Vec<u8> {
    let mut compact = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json.as_bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        compact.push(byte);
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_between_tokens_are_removed_and_strings_are_kept() {
        let pretty = "{\r\n \"a b\\\"\\\\\" : [ 1,\n\"\\n x\" ] }";
        let payload = Payload::from_json(pretty).unwrap();
        assert_eq!(payload.as_str(), r#"{"a b\"\\":[1,"\n x"]}"#);
    }

    #[test]
    fn text_that_is_not_one_value_is_refused() {
        for bad in ["", "{", "1 2", "{}\n{}"] {
            assert!(Payload::from_json(bad).is_err(), "{bad:?}");
        }
    }
}
