use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sha2::Sha256;
use steadfast_clock::Clock;
use steadfast_notifications::{FieldError, Message, MessageContent, Secret, SendError};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use url::{Host, Url};

use super::address_guard::AddressGuard;

/// What a secret begins with, before its base64.
pub(super) const SECRET_PREFIX: &str = "whsec_";

/// How long a connection may take, for all addresses of a name together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long all of a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the body of an answer is read: its head says all.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// How much of an answer is read.
const MAX_ANSWER: usize = 64 * 1024;

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 4;

/// Posts messages to webhooks, signed as [Standard Webhooks] has it.
///
/// # Guarantees
///
/// - One request a message: no redirect is followed and no proxy is used.
/// - It connects only to addresses that its [`AddressGuard`] admits, looked at when they are
///   connected to; without TLS only to those that the operator lists.
/// - A request takes 10 s at most; at most 64 KiB of its answer are read, for 1 s. Whether the
///   message was taken is said by the head.
///
/// [Standard Webhooks]: https://www.standardwebhooks.com/
#[derive(Clone)]
pub struct WebhookSender {
    guard: AddressGuard,
    tls: TlsConnector,
    clock: Arc<dyn Clock>,
}

impl WebhookSender {
    /// Trusts the certificates of the system.
    ///
    /// # Errors
    ///
    /// If the TLS library refuses its own defaults.
    pub fn new(guard: AddressGuard, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            guard,
            tls: TlsConnector::from(Arc::new(tls)),
            clock,
        })
    }

    /// Looks whether a URL can be a webhook's.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn check(&self, url: &str) -> Result<(), FieldError> {
        self.parse(url).map(drop).map_err(|detail| FieldError {
            pointer: "/url".into(),
            detail,
        })
    }

    /// The host and port of a URL.
    pub(super) fn endpoint(url: &str) -> String {
        let parsed = Url::parse(url).ok();
        let endpoint = parsed.as_ref().and_then(|url| {
            let (host, port) = (url.host_str()?, url.port_or_known_default()?);
            Some(format!("{host}:{port}"))
        });
        endpoint.unwrap_or_else(|| "nowhere".to_owned())
    }

    /// Posts a message.
    pub(super) async fn send(
        &self,
        url: &str,
        secret: Option<&Secret>,
        message: &Message,
    ) -> Result<(), SendError> {
        let refused = |cause: String| SendError::Refused { cause };
        let url = self
            .parse(url)
            .map_err(|detail| refused(format!("the URL {detail}")))?;
        let request = self.request(&url, secret, message);
        let request = request.ok_or_else(|| refused("the request cannot be made".to_owned()))?;
        let answered = timeout(TIMEOUT, self.exchange(&url, request)).await;
        answered.unwrap_or_else(|_| Err(unreachable("it did not answer within 10 s")))
    }

    fn parse(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.guard.allows_private() => {}
            _ => return Err("must begin with https://".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not carry a user or a password".to_owned());
        }
        let address = match url.host() {
            None => return Err("must name a host".to_owned()),
            Some(Host::Domain(_)) => return Ok(url),
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
        };
        match self.guard.admits(address) {
            true => Ok(url),
            false => Err(format!("leads to {address}, which is not a public address")),
        }
    }

    fn request(
        &self,
        url: &Url,
        secret: Option<&Secret>,
        message: &Message,
    ) -> Option<Request<Full<Bytes>>> {
        let body = body(message).to_string();
        let since_epoch = self.clock.wall().duration_since(std::time::UNIX_EPOCH);
        let timestamp = since_epoch.unwrap_or_default().as_secs();
        let id = message.id.to_string();
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::post(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::USER_AGENT,
                concat!("steadfast/", env!("CARGO_PKG_VERSION")),
            )
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp);
        if let Some(secret) = secret {
            let signature = sign(secret, &id, timestamp, &body)?;
            request = request.header("webhook-signature", format!("v1,{signature}"));
        }
        request.body(Full::from(body)).ok()
    }

    async fn exchange(&self, url: &Url, request: Request<Full<Bytes>>) -> Result<(), SendError> {
        let tcp = self.connect(url).await?;
        if url.scheme() == "http" {
            return exchange(tcp, request).await;
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
            Some(Host::Ipv4(address)) => Some(ServerName::IpAddress(address.into())),
            Some(Host::Ipv6(address)) => Some(ServerName::IpAddress(address.into())),
            None => None,
        };
        let host = host.ok_or_else(|| SendError::Refused {
            cause: "the URL names no host that has certificates".to_owned(),
        })?;
        let tls = self.tls.connect(host, tcp).await;
        let tls = tls.map_err(|error| unreachable(format!("TLS failed: {error}")))?;
        exchange(tls, request).await
    }

    /// Connects to the first address of a host that answers, of those that are admitted.
    async fn connect(&self, url: &Url) -> Result<TcpStream, SendError> {
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = match url.host() {
            Some(Host::Domain(name)) => {
                let found = timeout(CONNECT_TIMEOUT, tokio::net::lookup_host((name, port))).await;
                let found = found.map_err(|_| unreachable("its name was not resolved in time"))?;
                let found = found.map_err(|error| {
                    unreachable(format!("its name cannot be resolved: {error}"))
                })?;
                found.collect()
            }
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            None => Vec::new(),
        };
        let is_plain = url.scheme() == "http";
        let admitted = addresses.iter().filter(|address| match is_plain {
            true => self.guard.is_listed(address.ip()),
            false => self.guard.admits(address.ip()),
        });
        let admitted: Vec<_> = admitted.take(MAX_ADDRESSES).copied().collect();
        if admitted.is_empty() {
            let cause = match is_plain {
                true => "without TLS only addresses that the operator lists are connected to",
                false => "its name leads to no public address",
            };
            return Err(SendError::Refused {
                cause: cause.to_owned(),
            });
        }
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(&admitted[..])).await;
        let connected = connected.map_err(|_| unreachable("it did not connect within 5 s"))?;
        connected.map_err(|error| unreachable(format!("it cannot be connected to: {error}")))
    }
}

impl std::fmt::Debug for WebhookSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSender")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

/// The signature of a message, in base64.
fn sign(secret: &Secret, id: &str, timestamp: u64, body: &str) -> Option<String> {
    let key = secret.expose().strip_prefix(SECRET_PREFIX)?;
    let key = STANDARD.decode(key).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(STANDARD.encode(mac.finalize().into_bytes()))
}

fn body(message: &Message) -> serde_json::Value {
    let id = message.id;
    match &message.content {
        MessageContent::Notification(notification) => {
            json!({"type": "notification", "delivery_id": id, "notification": notification})
        }
        MessageContent::Digest(notifications) => {
            json!({"type": "digest", "delivery_id": id, "notifications": notifications})
        }
        MessageContent::Test => json!({"type": "test", "delivery_id": id}),
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(), SendError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let broken = |error: hyper::Error| unreachable(format!("the exchange failed: {error}"));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(broken)?;
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let (parts, body) = answer.into_parts();
        // Read so that the other side sees a whole exchange; what is too long or slow is cut off.
        let _ = timeout(BODY_TIMEOUT, Limited::new(body, MAX_ANSWER).collect()).await;
        judge(parts.status, &parts.headers)
    });
    tokio::select! {
        biased;
        judged = &mut answer => judged,
        // It ends before the answer has been read to its end only if it breaks.
        _ = &mut connection => answer.await,
    }
}

/// What a status means (RFC 9110, 15).
fn judge(status: StatusCode, headers: &http::HeaderMap) -> Result<(), SendError> {
    let cause = format!("it answered {status}");
    let retry_after = || {
        let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
        value.trim().parse().ok().map(Duration::from_secs)
    };
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 425 | 429 | 503 => Err(SendError::Busy {
            cause,
            retry_after: retry_after(),
        }),
        500..=599 => Err(unreachable(cause)),
        300..=399 => Err(SendError::Refused {
            cause: format!("{cause}, and redirects are not followed"),
        }),
        _ => Err(SendError::Refused { cause }),
    }
}

fn unreachable(cause: impl Into<String>) -> SendError {
    SendError::Unreachable {
        cause: cause.into(),
    }
}

#[cfg(test)]
mod tests {
    use steadfast_clock::SystemClock;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn signature_is_that_of_standard_webhooks() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = sign(&secret, id, 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(
            signature.as_deref(),
            Some("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn url_that_leads_inside_is_refused_in_every_spelling() {
        let sender = WebhookSender::new(AddressGuard::default(), Arc::new(SystemClock)).unwrap();
        for url in [
            "http://example.org/",
            "ftp://example.org/",
            "https://user:secret@example.org/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://169.254.169.254/latest/meta-data",
            "https://１２７.0.0.1/",
            "https://",
            "nonsense",
        ] {
            let error = sender.check(url).unwrap_err();
            assert_eq!(error.pointer, "/url", "{url}");
        }
        sender.check("https://example.org/hook?a=b").unwrap();
        sender.check("https://1.1.1.1:8443/").unwrap();
        assert_eq!(
            WebhookSender::endpoint("https://Example.org/a"),
            "example.org:443"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn message_is_taken_when_the_head_says_so_whatever_becomes_of_the_body() {
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let request = Request::post("/").body(Full::default()).unwrap();
        let answer = async {
            theirs.read_u8().await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
            theirs.write_all(head).await.unwrap();
            // It stays open, and nothing follows.
            theirs
        };
        let exchanged = timeout(TIMEOUT, exchange(ours, request));
        let (judged, _theirs) = tokio::join!(exchanged, answer);
        assert_eq!(judged.unwrap(), Ok(()));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let judge = |status: u16| {
            judge(
                StatusCode::from_u16(status).unwrap(),
                &http::HeaderMap::new(),
            )
        };
        assert_eq!(judge(204), Ok(()));
        for status in [400, 401, 404, 410, 413, 301, 307] {
            assert!(
                matches!(judge(status), Err(SendError::Refused { .. })),
                "{status}"
            );
        }
        for status in [408, 425, 429, 503] {
            assert!(
                matches!(judge(status), Err(SendError::Busy { .. })),
                "{status}"
            );
        }
        for status in [500, 502, 504] {
            assert!(
                matches!(judge(status), Err(SendError::Unreachable { .. })),
                "{status}"
            );
        }
    }
}
