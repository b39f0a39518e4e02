//! Versions as entity tags: `ETag` says which one an answer shows, `If-Match` which one a change is
//! about.

use http::{HeaderMap, HeaderName, header};

use super::problem::{Kind, Problem};

/// A version that nothing ever has.
const NO_VERSION: u64 = 0;

/// The header that says which version an answer shows.
pub(super) fn etag(version: u64) -> (HeaderName, String) {
    (header::ETAG, format!("\"{version}\""))
}

/// The version that `If-Match` names; `None`: any will do. Tags that are none of ours, weak ones
/// among them, match no version (RFC 9110, 13.1.1).
pub(super) fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let tag = text.strip_prefix("W/").unwrap_or(text);
    let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match (text, quoted) {
        ("*", _) => Ok(None),
        (_, Some(version)) if !version.contains('"') => {
            let is_ours = !text.starts_with("W/") && !version.starts_with(['0', '+']);
            let version = version.parse().ok().filter(|_| is_ours);
            Ok(Some(version.unwrap_or(NO_VERSION)))
        }
        _ => Err(Problem::new(
            Kind::Malformed,
            "If-Match must be one version in quotes, such as \"3\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(value: &str) -> Result<Option<u64>, ()> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, value.parse().unwrap());
        expected_version(&headers).map_err(drop)
    }

    #[test]
    fn if_match_is_one_version_or_anything() {
        assert_eq!(if_match("\"3\""), Ok(Some(3)));
        assert_eq!(if_match("*"), Ok(None));
        assert_eq!(expected_version(&HeaderMap::new()).map_err(drop), Ok(None));
        for other in ["W/\"3\"", "\"three\"", "\"03\"", "\"+3\"", "\"\""] {
            assert_eq!(if_match(other), Ok(Some(NO_VERSION)), "{other}");
        }
        for wrong in ["3", "\"3", "-1", "", "\"1\", \"2\""] {
            assert_eq!(if_match(wrong), Err(()), "{wrong}");
        }
    }
}
