use std::{fmt, sync::Arc};

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
#[derive(Clone)]
pub struct Payload(Arc<RawValue>);

impl Payload {
    /// Encodes a value.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if the value cannot be written as JSON.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        let raw = serde_json::value::to_raw_value(value)
            .map_err(|source| PayloadError::Encode { source })?;
        // A value may itself hold text that was encoded elsewhere.
        Self::from_raw(&raw)
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
        if !raw.get().contains(['\n', '\r']) {
            return Ok(Self(raw.to_owned().into()));
        }
        RawValue::from_string(strip_white_space(raw.get()))
            .map(|raw| Self(raw.into()))
            .map_err(|source| PayloadError::Parse { source })
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Length of the JSON text in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no JSON value is empty text")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.get().len()
    }

    pub(crate) fn as_raw(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Removes white space between the tokens of valid JSON; inside strings line breaks are escaped
/// and other white space is content.
fn strip_white_space(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|&c| {
            if !in_string {
                in_string = c == '"';
                return !c.is_ascii_whitespace();
            }
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            true
        })
        .collect()
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
