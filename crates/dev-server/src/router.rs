use axum::Router;

use crate::AssetServer;

impl AssetServer {
    /// A router that sends every path no other route takes to this server: merge it, last, into
    /// that of the application, which must have no fallback of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{Router, http::StatusCode, routing::{any, get}};
    /// use steadfast_dev_server::{AssetServer, EmbeddedAssets};
    ///
    /// let page: (&str, &[u8]) = ("index.html", b"<!doctype html>");
    /// let app: Router = Router::new()
    ///     .route("/api/v1/me", get(async || "someone"))
    ///     // What the interface does not know is not a page of the front end.
    ///     .route("/api/{*rest}", any(async || StatusCode::NOT_FOUND))
    ///     .merge(AssetServer::new(EmbeddedAssets::new([page])?).into_router());
    /// # Ok::<(), steadfast_dev_server::AssetError>(())
    /// ```
    pub fn into_router<S>(self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        Router::new().fallback_service(self)
    }
}
