use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;
use steadfast_privacy::ChangedBy;
use uuid::Uuid;

use super::{caller::Caller, request_id::RequestId};
use crate::audit::AuditEntry;

/// From where a request comes, and which one it is: what the audit log says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestInfo {
    address: Option<IpAddr>,
    id: Option<Uuid>,
}

impl RequestInfo {
    /// The entry with what it says of the request.
    pub(super) fn entry(self, entry: AuditEntry) -> AuditEntry {
        AuditEntry {
            address: self.address,
            request_id: self.id,
            ..entry
        }
    }

    /// What a change on behalf of the caller says of itself.
    pub(super) fn changed_by(self, caller: &Caller) -> ChangedBy {
        ChangedBy {
            user: Some(caller.0.user.id),
            address: self.address,
            request: self.id,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestInfo {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let id = parts.extensions.get::<RequestId>();
        Ok(Self {
            address: peer.map(|ConnectInfo(peer)| peer.ip()),
            id: id.map(|id| id.uuid()),
        })
    }
}
