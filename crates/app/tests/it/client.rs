use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::process::{PATIENCE, Server};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody at the API: by session, by token, or nobody.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    csrf: Option<String>,
    bearer: Option<String>,
    cookie: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The body, if the status is the wanted one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }
}

impl Client {
    pub(crate) fn nobody(server: &Server) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            http,
            url: server.url.clone(),
            csrf: None,
            bearer: None,
            cookie: None,
        }
    }

    /// Sets up the first administrator.
    pub(crate) async fn admin(server: &Server) -> Self {
        let token = std::fs::read_to_string(server.setup_token_file()).unwrap();
        let body = json!({"token": token, "username": "root", "password": PASSWORD});
        Self::nobody(server).begin("/api/v1/setup", body, 201).await
    }

    pub(crate) async fn log_in(server: &Server, username: &str) -> Self {
        let body = json!({"username": username, "password": PASSWORD});
        Self::nobody(server)
            .begin("/api/v1/auth/login", body, 200)
            .await
    }

    async fn begin(mut self, path: &str, body: Value, status: u16) -> Self {
        let answer = self.post(path, body).await;
        let cookie = answer
            .headers
            .get("set-cookie")
            .map(|c| c.to_str().unwrap().to_owned());
        let body = answer.expect(status);
        self.csrf = Some(body["csrf"].as_str().unwrap().to_owned());
        self.cookie = cookie.map(|cookie| cookie.split(';').next().unwrap().to_owned());
        self
    }

    /// A new user, made by this administrator, logged in.
    pub(crate) async fn new_user(&self, server: &Server, username: &str) -> Self {
        let body = json!({"username": username, "password": PASSWORD, "role": "user"});
        self.post("/api/v1/users", body).await.expect(201);
        Self::log_in(server, username).await
    }

    /// The same user by a new token with these scopes.
    pub(crate) async fn by_token(&self, scopes: &[&str]) -> Self {
        let body = json!({"name": "test", "scopes": scopes, "expires_in_days": 1});
        let token = self.post("/api/v1/tokens", body).await.expect(201);
        let bearer = Some(token["token"].as_str().unwrap().to_owned());
        Self {
            csrf: None,
            cookie: None,
            bearer,
            ..self.clone()
        }
    }

    /// The same session without its CSRF token.
    pub(crate) fn without_csrf(&self) -> Self {
        Self {
            csrf: None,
            ..self.clone()
        }
    }

    /// What nobody else may know: of cookie, CSRF token and API token those that there are.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let session = self
            .cookie
            .as_ref()
            .and_then(|cookie| cookie.split_once('='));
        let session = session.map(|(_, key)| key.to_owned());
        let secrets = [session, self.csrf.clone(), self.bearer.clone()];
        secrets.into_iter().flatten().collect()
    }

    pub(crate) async fn id(&self) -> String {
        let me = self.get("/api/v1/me").await.expect(200);
        me["user"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        if let Some(bearer) = &self.bearer {
            request = request.bearer_auth(bearer);
        }
        request
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }

    /// Every notification of the caller, oldest first.
    pub(crate) async fn notifications(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/api/v1/notifications?limit=200&after_seq={after}");
            let page = self.get(&path).await.expect(200);
            all.extend(page["items"].as_array().unwrap().iter().cloned());
            after = all
                .last()
                .map_or(after, |last| last["seq"].as_u64().unwrap());
            if page["next"].is_null() {
                return all;
            }
        }
    }

    /// Opens `/ws` with the cookie or the bearer token; `origin` is what a browser would send.
    pub(crate) async fn socket(&self, origin: Option<&str>) -> Result<Socket, u16> {
        self.socket_at("/ws", origin).await
    }

    pub(crate) async fn socket_at(&self, path: &str, origin: Option<&str>) -> Result<Socket, u16> {
        let url = format!("{}{path}", self.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let bearer = self.bearer.as_ref().map(|token| format!("Bearer {token}"));
        let headers = [
            ("cookie", self.cookie.clone()),
            ("authorization", bearer),
            ("origin", origin.map(str::to_owned)),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        match connect_async(request).await {
            Ok((stream, _)) => Ok(Socket {
                stream,
                unread: Vec::new(),
                last_id: 0,
            }),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens `/ws` and says `connect`: the socket, and the reply.
    pub(crate) async fn connect(&self) -> (Socket, Value) {
        let mut socket = self.socket(None).await.unwrap();
        let reply = socket.command("connect", json!({})).await;
        (socket, reply["connect"].clone())
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer {
        status,
        headers,
        body,
    }
}

/// A WebSocket that speaks the Centrifuge client protocol.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    unread: Vec<Value>,
    last_id: u64,
}

impl Socket {
    /// Sends a command and waits for its reply; pushes that come in between are kept.
    pub(crate) async fn command(&mut self, method: &str, body: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let command = json!({"id": id, method: body}).to_string();
        self.stream.send(Message::text(command)).await.unwrap();
        let mut pushes = Vec::new();
        loop {
            let message = self.next().await.expect("the socket was closed");
            if message["id"] == id {
                self.unread.splice(0..0, pushes);
                return message;
            }
            pushes.push(message);
        }
    }

    /// Sends text of one's own making, without waiting for a reply.
    pub(crate) async fn send(&mut self, message: Value) {
        self.stream
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The data of the next publication.
    pub(crate) async fn publication(&mut self) -> Value {
        loop {
            let message = self.next().await.expect("the socket was closed");
            let data = &message["push"]["pub"]["data"];
            if !data.is_null() {
                return data.clone();
            }
        }
    }

    /// The code of the close frame, once everything before it was read.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            match tokio::time::timeout(PATIENCE, self.stream.next())
                .await
                .unwrap()
            {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Whether nothing comes within `time`.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        self.unread.is_empty() && tokio::time::timeout(time, self.next()).await.is_err()
    }

    /// The next message that is no ping; `None`: the socket is closed.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if !self.unread.is_empty() {
                return Some(self.unread.remove(0));
            }
            let frame = tokio::time::timeout(PATIENCE, self.stream.next());
            match frame.await.expect("nothing came") {
                Some(Ok(Message::Text(text))) => {
                    let messages = text.lines().map(|line| serde_json::from_str(line).unwrap());
                    self.unread
                        .extend(messages.filter(|message| message != &json!({})));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}
