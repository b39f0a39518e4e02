//! The HTTP side: REST under `/api/v1`, the probes, the metrics, the page, and the door to `/ws`.

mod admin;
mod api;
mod audit;
mod caller;
mod channels;
mod crowd;
mod erasure;
mod errors;
mod etag;
mod extract;
mod limits;
mod notifications;
mod origin;
mod page;
mod policies;
mod preferences;
mod privacy;
mod probes;
mod problem;
mod request_id;
mod request_info;
mod router;
mod schedules;
mod server;
mod session;
mod setup;
mod tickets;
mod tokens;
mod users;
mod web;
mod ws;

pub use api::{Api, ApiParts};
pub use caller::SESSION_COOKIE;
pub use limits::RequestLimits;
pub use router::{admin_router, openapi, router};
pub use server::Server;
pub use tickets::Tickets;

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
