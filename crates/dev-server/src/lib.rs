//! Serves the built assets of a front end, embedded or from a folder.
//!
//! For: a service that ships its own front end and wants it served right, from the program itself
//! or from a folder, without a second server beside it. Not for: uploads, listings of folders,
//! compression while serving, or files larger than memory.
//!
//! # Guarantees
//!
//! - A missing asset is a 404, never the page: after a deployment a browser that still asks for an
//!   old script is not given HTML as one. The page is the answer only for `Accept: text/html` and a
//!   path without a file extension.
//! - What changes under its name is revalidated; what carries a hash in its name is immutable for a
//!   year. Entity tags are strong and made from the content, so that instances agree on them.
//! - No path leads out of the assets: names are parsed into [`AssetName`], once, at the border, and
//!   no source sees anything else.
//! - Every request is answered, within [`AssetServer::LOOKUP_TIMEOUT`] also where the source hangs,
//!   and the answer's size is known before it begins.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `axum` | [`AssetServer::into_router`](AssetServer#method.into_router); the server is a `fallback_service` of a router without it |
//! | `mocks` | `MockAssetSource` |
//! | `test-util` | `conformance`, the suite for one's own [`AssetSource`] |
//!
//! # Example
//!
//! ```
//! use http::{Request, StatusCode, header};
//! use steadfast_dev_server::{AssetServer, EmbeddedAssets};
//! use tower::ServiceExt as _;
//!
//! const DIST: [(&str, &[u8]); 2] = [
//!     ("index.html", b"<!doctype html><script type=module src=/assets/index-BfX3kQ_2.js></script>"),
//!     ("assets/index-BfX3kQ_2.js", b"document.title = 'Hello'"),
//! ];
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = AssetServer::new(EmbeddedAssets::new(DIST)?);
//! let request = Request::get("/assets/index-BfX3kQ_2.js").body(())?;
//! let response = server.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(response.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
//! # Ok(())
//! # }
//! ```

mod asset;
mod asset_name;
mod byte_range;
mod cache_policy;
mod embedded;
mod encoding;
mod error;
mod etag;
mod folder;
mod ports;
mod quality;
mod response;
#[cfg(feature = "axum")]
mod router;
mod server;

#[cfg(feature = "test-util")]
pub mod conformance;

pub use asset::Asset;
pub use asset_name::AssetName;
pub use embedded::EmbeddedAssets;
pub use encoding::Encoding;
pub use error::AssetError;
pub use folder::FolderAssets;
pub use ports::AssetSource;
#[cfg(any(test, feature = "mocks"))]
pub use ports::MockAssetSource;
pub use server::AssetServer;
