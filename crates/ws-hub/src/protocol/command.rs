use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// One command of a client, as it is on the wire.
#[derive(Debug, Deserialize)]
pub(crate) struct Command<'a> {
    /// Echoed in the reply; 0 where no reply is expected.
    #[serde(default)]
    pub(crate) id: u32,
    #[serde(borrow)]
    connect: Option<ConnectRequest<'a>>,
    subscribe: Option<SubscribeRequest<'a>>,
    unsubscribe: Option<ChannelRequest<'a>>,
    publish: Option<PublishRequest<'a>>,
    rpc: Option<RpcRequest<'a>>,
    ping: Option<IgnoredAny>,
    send: Option<IgnoredAny>,
    presence: Option<IgnoredAny>,
    presence_stats: Option<IgnoredAny>,
    history: Option<IgnoredAny>,
    refresh: Option<IgnoredAny>,
    sub_refresh: Option<IgnoredAny>,
}

/// What a command asks for.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    Connect(ConnectRequest<'a>),
    Subscribe {
        topic: Cow<'a, str>,
        since: Option<Since<'a>>,
    },
    Unsubscribe(Cow<'a, str>),
    Publish(PublishRequest<'a>),
    Rpc(RpcRequest<'a>),
    Ping,
    /// The answer to our ping.
    Pong,
    /// A one-way message.
    Send,
    /// A request that this hub does not serve.
    NotAvailable,
    /// A request that the protocol does not know.
    Unknown,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConnectRequest<'a> {
    #[serde(borrow, default)]
    pub(crate) token: Cow<'a, str>,
    /// Where the client wants its server-side subscriptions recovered from.
    #[serde(borrow, default)]
    subs: HashMap<Cow<'a, str>, SubscribeRequest<'a>>,
}

#[derive(Debug, Deserialize)]
struct SubscribeRequest<'a> {
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
    #[serde(default)]
    recover: bool,
    #[serde(borrow, default)]
    epoch: Cow<'a, str>,
    #[serde(default)]
    offset: u64,
}

/// The last position a client knows, with the wish to get what came after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Since<'a> {
    pub(crate) offset: u64,
    pub(crate) epoch: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct ChannelRequest<'a> {
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PublishRequest<'a> {
    #[serde(borrow, default)]
    pub(crate) channel: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) data: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RpcRequest<'a> {
    #[serde(borrow, default)]
    pub(crate) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) data: Option<&'a RawValue>,
}

impl<'a> Command<'a> {
    pub(crate) fn parse(line: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(line)
    }

    /// The first request of the command, in the order of the schema.
    pub(crate) fn request(self) -> Request<'a> {
        let not_available = [
            self.presence,
            self.presence_stats,
            self.history,
            self.refresh,
            self.sub_refresh,
        ];
        if let Some(connect) = self.connect {
            Request::Connect(connect)
        } else if let Some(subscribe) = self.subscribe {
            Request::Subscribe {
                since: subscribe.since(),
                topic: subscribe.channel,
            }
        } else if let Some(unsubscribe) = self.unsubscribe {
            Request::Unsubscribe(unsubscribe.channel)
        } else if let Some(publish) = self.publish {
            Request::Publish(publish)
        } else if let Some(rpc) = self.rpc {
            Request::Rpc(rpc)
        } else if self.ping.is_some() {
            Request::Ping
        } else if self.send.is_some() {
            Request::Send
        } else if not_available.iter().any(Option::is_some) {
            Request::NotAvailable
        } else if self.id == 0 {
            Request::Pong
        } else {
            Request::Unknown
        }
    }
}

impl<'a> SubscribeRequest<'a> {
    fn since(&self) -> Option<Since<'a>> {
        self.recover.then(|| Since {
            offset: self.offset,
            epoch: self.epoch.clone(),
        })
    }
}

impl<'a> ConnectRequest<'a> {
    /// Where the client wants a server-side subscription recovered from.
    pub(crate) fn since(&self, topic: &str) -> Option<Since<'a>> {
        self.subs.get(topic)?.since()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_object_is_a_pong_and_a_numbered_one_is_unknown() {
        let request = |line| Command::parse(line).unwrap().request();
        assert!(matches!(request("{}"), Request::Pong));
        assert!(matches!(request(r#"{"id":3}"#), Request::Unknown));
        let other = r#"{"id":3,"delta":{}}"#;
        assert!(matches!(request(other), Request::Unknown));
    }

    #[test]
    fn escaped_and_plain_names_are_read() {
        for name in ["a", "a\\\"b", "\\u00e9"] {
            let line = format!(r#"{{"id":1,"subscribe":{{"channel":"{name}","recover":true}}}}"#);
            let Request::Subscribe { topic, since } = Command::parse(&line).unwrap().request()
            else {
                panic!("no subscribe");
            };
            let plain: String = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            assert_eq!(topic, plain);
            assert_eq!(since.unwrap().offset, 0);
        }
    }

    #[test]
    fn unknown_fields_are_ignored_and_wrong_types_refused() {
        let ok = r#"{"id":1,"subscribe":{"channel":"a","delta":"fossil","tf":{}}}"#;
        assert!(Command::parse(ok).is_ok());
        for bad in [
            "",
            "[]",
            "1",
            r#"{"id":-1}"#,
            r#"{"id":1,"subscribe":"a"}"#,
            r#"{"id":1,"subscribe":{"channel":7}}"#,
        ] {
            assert!(Command::parse(bad).is_err(), "{bad}");
        }
    }
}
