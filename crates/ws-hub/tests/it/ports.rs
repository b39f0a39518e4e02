//! Ports that fail, as mocks: the client is told, and nothing hangs.

use std::{future::pending, sync::Arc, time::Duration};

use mockall::predicate::eq;
use serde_json::json;
use steadfast_ws_hub::{
    AuthenticateError, Handshake, HistoryPage, Hub, Identity, MockAuthenticator, MockAuthorizer,
    MockHistory, MockObserver, MockRpcHandler, PortError, Refusal, RpcError, StreamPosition,
    testing::{OpenAuthorizer, TokenAuthenticator},
};
use tokio::io::duplex;

use crate::client::{builder, now, payload, pipe, since, started};

fn down() -> PortError {
    PortError::transient("ask the database", "connection refused")
}

#[tokio::test]
async fn failing_authenticator_refuses_the_upgrade_with_503() {
    let mut authenticator = MockAuthenticator::new();
    let fail = || AuthenticateError::Unavailable { source: down() };
    authenticator
        .expect_handshake()
        .times(1)
        .returning(move |_| Err(fail()));
    let hub = started(Hub::builder().authenticator(Arc::new(authenticator))).await;
    let refusal = hub.serve_stream(duplex(64).0, Handshake::default()).await;
    let refusal = refusal.unwrap_err();
    assert!(matches!(refusal, Refusal::Authenticate { .. }));
    assert_eq!(refusal.response().status(), 503);
    assert_eq!(hub.stats().sockets, 0);
}

#[tokio::test]
async fn failing_authenticator_closes_the_connect_command_with_3004() {
    let mut authenticator = MockAuthenticator::new();
    authenticator.expect_handshake().returning(|_| Ok(None));
    authenticator
        .expect_token()
        .withf(|_, token| token == "secret")
        .times(1)
        .returning(|_, _| Err(AuthenticateError::Unavailable { source: down() }));
    let mut observer = MockObserver::new();
    observer.expect_on_open().never();
    observer.expect_on_close().never();
    let hub = Hub::builder()
        .authenticator(Arc::new(authenticator))
        .observer(Arc::new(observer));
    let hub = started(hub).await;
    let mut client = pipe(&hub, 4096).await;
    client
        .send_text(r#"{"id":1,"connect":{"token":"secret"}}"#)
        .await;
    assert_eq!(client.closed().await, Some(3004));
    assert_eq!(hub.stats().opened, 0);
}

/// Never answers.
struct Stuck;

#[async_trait::async_trait]
impl steadfast_ws_hub::Authenticator for Stuck {
    async fn handshake(
        &self,
        handshake: &Handshake,
    ) -> Result<Option<Identity>, AuthenticateError> {
        match handshake.query("stuck") {
            Some(_) => pending().await,
            None => Ok(None),
        }
    }

    async fn token(&self, _: &Handshake, _: &str) -> Result<Identity, AuthenticateError> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn authenticator_that_hangs_is_given_up_after_its_deadline() {
    let hub = started(Hub::builder().authenticator(Arc::new(Stuck))).await;
    let start = now();
    let handshake = Handshake::new("/?stuck=1".parse().unwrap(), Default::default());
    let refusal = hub.serve_stream(duplex(64).0, handshake).await.unwrap_err();
    assert_eq!(refusal.response().status(), 503);
    assert_eq!(since(start).as_secs(), 5);

    let mut client = pipe(&hub, 4096).await;
    client
        .send_text(r#"{"id":1,"connect":{"token":"x"}}"#)
        .await;
    assert_eq!(client.closed().await, Some(3004));
    assert_eq!(since(start).as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_an_authenticator_that_hangs() {
    let hub = started(Hub::builder().authenticator(Arc::new(Stuck))).await;
    let handshake = Handshake::new("/?stuck=1".parse().unwrap(), Default::default());
    let (stopped, refused) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            let start = now();
            hub.stop(Duration::from_secs(3)).await;
            since(start)
        },
        hub.serve_stream(duplex(64).0, handshake)
    );
    assert!(matches!(refused, Err(Refusal::NotRunning)));
    assert!(stopped < Duration::from_secs(1), "{stopped:?}");
}

#[tokio::test]
async fn authorizer_that_refuses_is_asked_for_each_wish_and_obeyed() {
    let mut authorizer = MockAuthorizer::new();
    authorizer
        .expect_may_subscribe()
        .withf(|identity, topic| identity.user == "alice" && topic == "t")
        .times(1)
        .returning(|_, _| Ok(false));
    authorizer
        .expect_may_publish()
        .times(1)
        .returning(|_, _| Ok(false));
    let hub = started(builder().authorizer(Arc::new(authorizer))).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let subscribe = json!({"subscribe": {"channel": "t"}});
    assert_eq!(client.refused(subscribe).await, 103);
    let publish = json!({"publish": {"channel": "t", "data": 1}});
    assert_eq!(client.refused(publish).await, 103);
    assert_eq!(hub.stats().subscriptions, 1);
}

#[tokio::test]
async fn authorizer_that_fails_is_a_temporary_error_and_no_permission() {
    let mut authorizer = MockAuthorizer::new();
    authorizer
        .expect_may_subscribe()
        .returning(|_, _| Err(down()));
    authorizer
        .expect_may_publish()
        .returning(|_, _| Err(down()));
    let hub = started(builder().authorizer(Arc::new(authorizer))).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let reply = client.call(json!({"subscribe": {"channel": "t"}})).await;
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["temporary"]),
        (&json!(100), &json!(true))
    );
    let publish = json!({"publish": {"channel": "t", "data": 1}});
    assert_eq!(client.refused(publish).await, 100);
    assert_eq!(hub.stats().subscriptions, 1);
}

#[tokio::test]
async fn without_an_authorizer_clients_only_receive() {
    let hub = started(Hub::builder().authenticator(Arc::new(TokenAuthenticator))).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let subscribe = json!({"subscribe": {"channel": "t"}});
    assert_eq!(client.refused(subscribe).await, 103);
    hub.publish("user:alice", payload(1)).await.unwrap();
    assert_eq!(client.publication("user:alice").await.0, 1);
}

#[tokio::test]
async fn history_read_that_fails_is_told_and_the_next_try_works() {
    let mut history = MockHistory::new();
    history.expect_covers().returning(|topic| topic == "t");
    let mut failures = 1;
    history
        .expect_read()
        .with(eq("t"), eq(Some(4)), eq(1_000))
        .times(2)
        .returning(move |_, _, _| {
            if failures > 0 {
                failures -= 1;
                return Err(down());
            }
            Ok(HistoryPage {
                top: StreamPosition::new(4, "e"),
                publications: Vec::new(),
            })
        });
    history
        .expect_append()
        .times(1)
        .returning(|_, _| Err(down()));
    let hub = started(builder().history(Arc::new(history))).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let since = json!({"channel": "t", "recover": true, "offset": 4, "epoch": "e"});
    let subscribe = json!({ "subscribe": since });
    let reply = client.call(subscribe.clone()).await;
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["temporary"]),
        (&json!(100), &json!(true))
    );
    assert_eq!((hub.stats().subscriptions, hub.stats().topics), (1, 1));
    let reply = client.call(subscribe).await;
    assert_eq!(reply["subscribe"]["recovered"], true);

    let publish = json!({"publish": {"channel": "t", "data": 1}});
    assert_eq!(client.refused(publish).await, 100, "append fails");
}

#[tokio::test]
async fn history_that_fails_for_a_server_side_subscription_closes_with_3004() {
    let mut history = MockHistory::new();
    history.expect_covers().returning(|_| true);
    history
        .expect_read()
        .times(1)
        .returning(|_, _, _| Err(down()));
    let hub = started(builder().history(Arc::new(history))).await;
    let mut client = pipe(&hub, 4096).await;
    client
        .send_text(r#"{"id":1,"connect":{"token":"alice"}}"#)
        .await;
    assert_eq!(client.closed().await, Some(3004));
    let stats = hub.stats();
    assert_eq!(
        (stats.connections, stats.subscriptions, stats.topics),
        (0, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn rpc_is_answered_by_the_handler_or_with_its_error() {
    let mut rpc = MockRpcHandler::new();
    rpc.expect_call()
        .times(2)
        .returning(|identity, method, data| {
            if method == "echo" {
                return Ok(payload(json!([identity.user, data.as_str()])));
            }
            Err(RpcError {
                code: 404,
                message: "no such method".into(),
                temporary: false,
            })
        });
    let hub = Hub::builder()
        .authenticator(Arc::new(TokenAuthenticator))
        .authorizer(Arc::new(OpenAuthorizer))
        .rpc(Arc::new(rpc));
    let hub = started(hub).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let reply = client
        .call(json!({"rpc": {"method": "echo", "data": {"a": 1}}}))
        .await;
    assert_eq!(reply["rpc"]["data"], json!(["alice", "{\"a\":1}"]));
    assert_eq!(client.refused(json!({"rpc": {"method": "x"}})).await, 404);
}
