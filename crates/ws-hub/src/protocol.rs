//! The Centrifuge client protocol in JSON: newline-joined commands and replies.
//!
//! Source: <https://centrifugal.dev/docs/transports/client_protocol> and the schema in
//! <https://github.com/centrifugal/protocol>, version 2 of the protocol.

mod command;
mod reply;

pub(crate) use command::{Command, ConnectRequest, PublishRequest, Request, RpcRequest, Since};
pub(crate) use reply::{
    ConnectResult, Empty, ErrorReply, ReplyBody, RpcResult, SubscribeResult, encode_publication,
    encode_reply, encode_unsubscribe,
};
