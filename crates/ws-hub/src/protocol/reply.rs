use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Payload, Publication, RpcError};

/// An error in a reply, with the numbers of the Centrifuge client protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorReply {
    code: u32,
    message: std::borrow::Cow<'static, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    temporary: bool,
}

impl ErrorReply {
    pub(crate) const INTERNAL: Self = Self::known(100, "internal server error", true);
    pub(crate) const UNKNOWN_TOPIC: Self = Self::known(102, "unknown channel", false);
    pub(crate) const PERMISSION_DENIED: Self = Self::known(103, "permission denied", false);
    pub(crate) const METHOD_NOT_FOUND: Self = Self::known(104, "method not found", false);
    pub(crate) const ALREADY_SUBSCRIBED: Self = Self::known(105, "already subscribed", false);
    pub(crate) const LIMIT_EXCEEDED: Self = Self::known(106, "limit exceeded", false);
    pub(crate) const BAD_REQUEST: Self = Self::known(107, "bad request", false);
    pub(crate) const NOT_AVAILABLE: Self = Self::known(108, "not available", false);
    pub(crate) const TOKEN_EXPIRED: Self = Self::known(109, "token expired", false);
    pub(crate) const TOO_MANY_REQUESTS: Self = Self::known(111, "too many requests", true);

    const fn known(code: u32, message: &'static str, temporary: bool) -> Self {
        Self {
            code,
            message: std::borrow::Cow::Borrowed(message),
            temporary,
        }
    }
}

impl From<RpcError> for ErrorReply {
    fn from(error: RpcError) -> Self {
        Self {
            code: error.code,
            message: error.message.into(),
            temporary: error.temporary,
        }
    }
}

/// The one field of a reply beside its id.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplyBody<'a> {
    Error(ErrorReply),
    Connect(ConnectResult<'a>),
    Subscribe(SubscribeResult<'a>),
    Unsubscribe(Empty),
    Publish(Empty),
    Ping(Empty),
    Rpc(RpcResult<'a>),
}

#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

#[derive(Debug, Serialize)]
pub(crate) struct ConnectResult<'a> {
    pub(crate) client: String,
    pub(crate) version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) subs: BTreeMap<&'a str, SubscribeResult<'a>>,
    /// Seconds between our pings.
    pub(crate) ping: u64,
    /// We expect an answer to them.
    pub(crate) pong: bool,
}

/// The answer to a subscription; without a history all fields are left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SubscribeResult<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) recoverable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) positioned: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) epoch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) was_recovering: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) recovered: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) publications: Vec<PublicationView<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PublicationView<'a> {
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

impl<'a> From<&'a Publication> for PublicationView<'a> {
    fn from(publication: &'a Publication) -> Self {
        Self {
            data: publication.data.as_raw(),
            offset: Some(publication.offset),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct RpcResult<'a> {
    pub(crate) data: &'a RawValue,
}

/// Encodes the reply to command `id`.
pub(crate) fn encode_reply(id: u32, body: &ReplyBody<'_>) -> Bytes {
    #[derive(Serialize)]
    struct Reply<'a> {
        id: u32,
        #[serde(flatten)]
        body: &'a ReplyBody<'a>,
    }
    encode(&Reply { id, body })
}

/// Encodes a publication for the subscribers of `topic`.
pub(crate) fn encode_publication(topic: &str, offset: Option<u64>, data: &Payload) -> Bytes {
    let publication = PublicationView {
        data: data.as_raw(),
        offset,
    };
    encode_push(topic, &Push::Pub(publication))
}

/// Encodes the news that the server ended a subscription.
///
/// Codes from 2500 on make the client subscribe again, from the position it has.
pub(crate) fn encode_unsubscribe(topic: &str, code: u32, reason: &str) -> Bytes {
    encode_push(topic, &Push::Unsubscribe { code, reason })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Push<'a> {
    Pub(PublicationView<'a>),
    Unsubscribe { code: u32, reason: &'a str },
}

fn encode_push(topic: &str, push: &Push<'_>) -> Bytes {
    #[derive(Serialize)]
    struct Envelope<'a> {
        push: Channel<'a>,
    }
    #[derive(Serialize)]
    struct Channel<'a> {
        channel: &'a str,
        #[serde(flatten)]
        push: &'a Push<'a>,
    }
    let channel = topic;
    encode(&Envelope {
        push: Channel { channel, push },
    })
}

fn encode(value: &impl Serialize) -> Bytes {
    // Structs of strings, numbers and valid JSON always encode.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_and_pushes_have_the_shape_of_the_protocol() {
        let data = Payload::from_json(r#"{"a":1}"#).unwrap();
        assert_eq!(
            encode_publication("t\"", Some(3), &data),
            r#"{"push":{"channel":"t\"","pub":{"data":{"a":1},"offset":3}}}"#
        );
        assert_eq!(
            encode_publication("t", None, &data),
            r#"{"push":{"channel":"t","pub":{"data":{"a":1}}}}"#
        );
        assert_eq!(
            encode_unsubscribe("t", 2000, "server unsubscribe"),
            r#"{"push":{"channel":"t","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#
        );
        assert_eq!(
            encode_reply(7, &ReplyBody::Error(ErrorReply::INTERNAL)),
            r#"{"id":7,"error":{"code":100,"message":"internal server error","temporary":true}}"#
        );
        assert_eq!(
            encode_reply(1, &ReplyBody::Subscribe(SubscribeResult::default())),
            r#"{"id":1,"subscribe":{}}"#
        );
        let publication = Publication::new(2, data);
        let result = SubscribeResult {
            recoverable: true,
            positioned: true,
            epoch: "e",
            offset: Some(2),
            was_recovering: true,
            recovered: true,
            publications: vec![(&publication).into()],
        };
        assert_eq!(
            encode_reply(1, &ReplyBody::Subscribe(result)),
            concat!(
                r#"{"id":1,"subscribe":{"recoverable":true,"positioned":true,"epoch":"e","#,
                r#""offset":2,"was_recovering":true,"recovered":true,"#,
                r#""publications":[{"data":{"a":1},"offset":2}]}}"#
            )
        );
    }
}
