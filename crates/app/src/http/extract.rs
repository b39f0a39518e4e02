use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
};
use http::{StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Kind, Problem};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body; whatever is wrong with it is a [`Problem`] that names the field.
#[derive(Debug)]
pub(super) struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let is_json = content_type
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                let essence = value.split(';').next().unwrap_or_default().trim();
                essence.eq_ignore_ascii_case("application/json")
            });
        if !is_json {
            let detail = "the body must be application/json";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        let bytes = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state))
            .await
            .map_err(|_| Problem::new(Kind::RequestTimeout, "the body came too slowly"))?
            .map_err(|rejection| unreadable(&rejection))?;
        parse(&bytes).map(Self)
    }
}

/// A query string; whatever is wrong with it is a [`Problem`] that names the parameter.
#[derive(Debug)]
pub(super) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs))
            .map(Self)
            .map_err(|error| {
                let pointer = pointer(&error.path().to_string(), &error.inner().to_string());
                let name = pointer.trim_start_matches('/');
                Problem::field(format!("?{name}"), error.inner().to_string())
            })
    }
}

/// The variable part of a path; one that cannot name anything is not found.
#[derive(Debug)]
pub(super) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|_| Problem::new(Kind::NotFound, "the path does not end in an id, a UUID"))
    }
}

/// Reads a value out of JSON. The text is read first, so that what is not JSON and what is JSON of
/// another shape are told apart.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let json: Value = serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(
            Kind::Malformed,
            format!("the body is not valid JSON: {error}"),
        )
    })?;
    if !json.is_object() {
        return Err(Problem::field("", "must be a JSON object"));
    }
    serde_path_to_error::deserialize(json).map_err(|error| {
        let detail = error.inner().to_string();
        Problem::field(pointer(&error.path().to_string(), &detail), detail)
    })
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let limit = super::MAX_BODY / 1024;
        return Problem::new(
            Kind::TooLarge,
            format!("the body is larger than {limit} KiB"),
        );
    }
    Problem::new(Kind::Malformed, "the body could not be read")
}

/// The JSON pointer of a path such as `channels[0].name`; a field that is missing is only named by
/// what serde says of it.
fn pointer(path: &str, detail: &str) -> String {
    let missing = detail
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    path.split(['.', '['])
        .map(|part| part.trim_end_matches(']'))
        .chain(missing)
        .filter(|part| !part.is_empty())
        .fold(String::new(), |pointer, part| {
            format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1"))
        })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Body {
        title: String,
        #[serde(default)]
        channels: Vec<u8>,
    }

    fn problem(text: &str) -> String {
        format!("{:?}", parse::<Body>(text.as_bytes()).unwrap_err())
    }

    #[test]
    fn errors_point_at_their_field() {
        for (text, pointer, detail) in [
            (
                r#"{"title":1}"#,
                r#"pointer: "/title""#,
                "expected a string",
            ),
            (
                r#"{"title":"","channels":[1,"x"]}"#,
                r#"pointer: "/channels/1""#,
                "expected u8",
            ),
            (
                r#"{"title":"","tittle":1}"#,
                r#"pointer: "/tittle""#,
                "unknown field",
            ),
            (r"{}", r#"pointer: "/title""#, "missing field `title`"),
            ("[]", r#"pointer: """#, "must be a JSON object"),
            (
                r#"{"title":null}"#,
                r#"pointer: "/title""#,
                "expected a string",
            ),
        ] {
            let problem = problem(text);
            assert!(
                problem.contains(pointer) && problem.contains(detail),
                "{text}: {problem}"
            );
        }
    }

    #[test]
    fn broken_json_and_trailing_text_are_malformed() {
        for text in ["{", "", r#"{"title":""} x"#] {
            assert!(problem(text).contains("Malformed"), "{text}");
        }
    }
}
