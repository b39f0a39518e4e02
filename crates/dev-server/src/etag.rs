use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{GetAll, IF_NONE_MATCH, IF_RANGE},
};
use sha2::{Digest, Sha256};

/// A strong entity tag (RFC 9110, section 8.8.3): 128 bits of the content's SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ETag(HeaderValue);

impl ETag {
    pub(crate) fn of(content: &[u8]) -> Self {
        let digest = Sha256::digest(content);
        let mut text = String::with_capacity(34);
        text.push('"');
        for byte in &digest[..16] {
            for nibble in [byte >> 4, byte & 0xf] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text.push('"');
        Self(
            HeaderValue::from_maybe_shared(Bytes::from(text))
                .unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
        )
    }

    pub(crate) fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Whether `If-None-Match` names this tag, weakly compared; `None` without that header.
    pub(crate) fn if_none_match(&self, headers: &HeaderMap) -> Option<bool> {
        let values = headers.get_all(IF_NONE_MATCH);
        values.iter().next()?;
        Some(self.is_in(values))
    }

    /// Whether a range may be served: without `If-Range`, or where it is this tag.
    ///
    /// A date never is: a client that knows the tag must not send one, and a date cannot tell two
    /// changes in one second apart.
    pub(crate) fn if_range(&self, headers: &HeaderMap) -> bool {
        headers
            .get(IF_RANGE)
            .is_none_or(|value| value.as_bytes() == self.0.as_bytes())
    }

    fn is_in(&self, values: GetAll<'_, HeaderValue>) -> bool {
        // None of our tags contains a comma, so that a foreign tag cut at one cannot match.
        values
            .iter()
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.0.as_bytes())
    }
}
