use std::time::SystemTime;

use steadfast_clock::ManualClock;
use steadfast_notifications::V7Ids;

use super::*;
use crate::accounts::{MockAccountStore, StoreError};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn accounts(store: MockAccountStore) -> (Accounts, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let ids = Arc::new(V7Ids::new(clock.clone(), [1; 32]));
    let gate = SetupGate::closed("/nonexistent/setup-token".into(), clock.clone());
    (
        Accounts::new(Arc::new(store), clock.clone(), ids, gate).unwrap(),
        clock,
    )
}

fn user() -> User {
    let username = Username::parse("ann").unwrap();
    User {
        id: Uuid::nil(),
        username,
        role: Role::User,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn store_that_fails_lets_nobody_in_and_is_told_from_a_wrong_credential() {
    let mut store = MockAccountStore::new();
    store
        .expect_session()
        .returning(|_| Err(StoreError::new("reading", true, "locked")));
    store
        .expect_user_by_name()
        .returning(|_| Err(StoreError::new("reading", true, "locked")));
    store.expect_create_session().never();
    let (accounts, _) = accounts(store);
    for outcome in [
        accounts.by_session("key").await.map(drop),
        accounts
            .log_in(HERE, "ann", "correct horse")
            .await
            .map(drop),
    ] {
        assert!(matches!(outcome, Err(AccountError::Store { source }) if source.is_transient()));
    }
}

#[tokio::test]
async fn session_ends_with_its_time() {
    let mut store = MockAccountStore::new();
    store.expect_session().returning(|hash| {
        let created_at = Timestamp::UNIX_EPOCH;
        let expires_at = created_at + SESSION;
        let session = Session {
            hash: *hash,
            user_id: Uuid::nil(),
            created_at,
            expires_at,
        };
        Ok(Some((session, user())))
    });
    let (accounts, clock) = accounts(store);
    accounts.by_session("key").await.unwrap();
    clock.advance(SESSION.unsigned_abs());
    let ended = accounts.by_session("key").await;
    assert!(matches!(ended, Err(AccountError::Unauthenticated)));
}

#[tokio::test]
async fn token_ends_with_its_time_and_its_scopes_are_kept_once() {
    let mut store = MockAccountStore::new();
    store.expect_create_token().once().returning(|_| Ok(()));
    let (accounts, _) = accounts(store);
    let scopes = [Scope::TopicsWrite, Scope::SchedulesRead, Scope::TopicsWrite];
    let (token, secret) = accounts
        .create_token(&user(), " ci ", &scopes, Some(2))
        .await
        .unwrap();
    assert_eq!(token.scopes, [Scope::SchedulesRead, Scope::TopicsWrite]);
    assert_eq!(token.name, "ci");
    assert_eq!(
        token.expires_at,
        Some(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(48))
    );
    assert!(token.hash.matches(secret.expose()));
}

#[tokio::test]
async fn tokens_without_name_or_scope_or_with_an_absurd_life_are_refused_by_field() {
    let (accounts, _) = accounts(MockAccountStore::new());
    let scopes = [Scope::SchedulesRead];
    let long = "x".repeat(101);
    for (name, scopes, days, wrong) in [
        (" ", &scopes[..], None, "name"),
        (&long, &scopes[..], None, "name"),
        ("ci", &[], None, "scopes"),
        ("ci", &scopes[..], Some(0), "expires_in_days"),
        ("ci", &scopes[..], Some(u32::MAX), "expires_in_days"),
    ] {
        let refused = accounts.create_token(&user(), name, scopes, days).await;
        assert!(
            matches!(refused, Err(AccountError::Invalid { field, .. }) if field == wrong),
            "{wrong}"
        );
    }
}
