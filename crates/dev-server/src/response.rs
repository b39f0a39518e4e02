use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, LAST_MODIFIED, RETRY_AFTER, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;

use crate::{
    Asset, asset::Representation, byte_range::ByteRange, cache_policy::CachePolicy,
    encoding::AcceptedEncodings,
};

/// An asset that was found, and what its response depends on besides.
pub(crate) struct AssetResponse {
    pub(crate) asset: Arc<Asset>,
    pub(crate) policy: CachePolicy,
    /// Whether `Accept` led to it.
    pub(crate) by_accept: bool,
}

impl AssetResponse {
    /// The response to a GET, or to a HEAD, for which ranges do not count.
    pub(crate) fn respond(&self, head: bool, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let encoding = AcceptedEncodings::from_headers(headers)
            .best(|encoding| self.asset.encoded(encoding).is_some());
        let representation = self
            .asset
            .representation(encoding)
            .unwrap_or(self.asset.identity());

        let mut response = empty(StatusCode::OK, self.policy);
        let fields = response.headers_mut();
        fields.insert(ETAG, representation.etag.header_value());
        fields.extend(self.vary().map(|vary| (VARY, vary)));
        fields.extend(self.last_modified());
        if self.is_fresh(representation, headers) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));

        let range = if !head && representation.etag.if_range(headers) {
            ByteRange::from_headers(headers, representation.len())
        } else {
            ByteRange::Whole
        };
        let len = representation.len();
        let body = match range {
            ByteRange::Unsatisfiable => {
                let mut response = refusal(StatusCode::RANGE_NOT_SATISFIABLE, head);
                let fields = response.headers_mut();
                fields.extend(content_range(&format!("bytes */{len}")));
                return response;
            }
            ByteRange::Part(part) => {
                let last = part.end - 1;
                fields.extend(content_range(&format!("bytes {}-{last}/{len}", part.start)));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                slice(&representation.bytes, part)
            }
            ByteRange::Whole => representation.bytes.clone(),
        };
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, self.asset.content_type().clone());
        fields.extend(encoding.map(|encoding| (CONTENT_ENCODING, encoding.header_value())));
        with_body(response, body, head)
    }

    /// `If-None-Match` decides; only without it does `If-Modified-Since` count.
    fn is_fresh(&self, representation: &Representation, headers: &HeaderMap) -> bool {
        representation
            .etag
            .if_none_match(headers)
            .unwrap_or_else(|| {
                self.asset
                    .modified()
                    .zip(date(headers.get(IF_MODIFIED_SINCE)))
                    .is_some_and(|(modified, since)| whole_seconds(modified) <= since)
            })
    }

    fn vary(&self) -> Option<HeaderValue> {
        match (self.by_accept, self.asset.is_negotiable()) {
            (true, true) => Some(HeaderValue::from_static("accept, accept-encoding")),
            (true, false) => Some(HeaderValue::from_static("accept")),
            (false, true) => Some(HeaderValue::from_static("accept-encoding")),
            (false, false) => None,
        }
    }

    fn last_modified(&self) -> Option<(HeaderName, HeaderValue)> {
        // Years that HTTP cannot express are not sent.
        let modified = self.asset.modified().filter(|&modified| {
            let since = modified.duration_since(SystemTime::UNIX_EPOCH);
            since.is_ok_and(|since| since < MAX_HTTP_DATE)
        })?;
        let date = HeaderValue::try_from(httpdate::fmt_http_date(modified)).ok()?;
        Some((LAST_MODIFIED, date))
    }
}

/// The year 9999, the last that an HTTP date can say.
const MAX_HTTP_DATE: Duration = Duration::from_secs(253_402_300_800);

pub(crate) fn method_not_allowed() -> Response<Full<Bytes>> {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, false);
    let fields = response.headers_mut();
    fields.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// A response that says no more than its status.
pub(crate) fn refusal(status: StatusCode, head: bool) -> Response<Full<Bytes>> {
    let mut response = empty(status, CachePolicy::Never);
    let fields = response.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let reason = status.canonical_reason().unwrap_or_default();
    with_body(response, Bytes::from_static(reason.as_bytes()), head)
}

fn empty(status: StatusCode, policy: CachePolicy) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, policy.header_value());
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The length is that of the body also where the body is left out.
fn with_body(
    mut response: Response<Full<Bytes>>,
    body: Bytes,
    head: bool,
) -> Response<Full<Bytes>> {
    let fields = response.headers_mut();
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if !head {
        *response.body_mut() = Full::new(body);
    }
    response
}

fn content_range(text: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((CONTENT_RANGE, HeaderValue::from_str(text).ok()?))
}

/// Shares the bytes, does not copy them.
fn slice(bytes: &Bytes, part: std::ops::Range<u64>) -> Bytes {
    let index = |position| usize::try_from(position).unwrap_or(bytes.len());
    bytes.slice(index(part.start)..index(part.end))
}

fn date(value: Option<&HeaderValue>) -> Option<SystemTime> {
    httpdate::parse_http_date(value?.to_str().ok()?).ok()
}

/// As an HTTP date has it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        Err(_) => time,
    }
}
