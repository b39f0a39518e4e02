//! Injected failures, and the order of the calls.

use mockall::{Sequence, predicate::eq};
use steadfast_db_init::{
    AttemptError, BackendError, Class, Database, InitError, LedgerOperation, MigrationError,
    MigrationId, MockBackend,
};

fn failure(class: Class) -> BackendError {
    BackendError::new(class, "cannot connect to db.example:5432").with_source("refused")
}

#[tokio::test(start_paused = true)]
async fn each_attempt_closes_what_it_opened_and_publishes_after_migrate() {
    let mut backend = MockBackend::new();
    let mut order = Sequence::new();
    let mut connect = |outcome: Result<u32, Class>| {
        let outcome = move || outcome.map_err(failure);
        backend
            .expect_connect()
            .once()
            .in_sequence(&mut order)
            .returning(outcome);
    };
    connect(Err(Class::Transient));
    connect(Ok(2));
    let ping = backend.expect_ping().with(eq(2)).once();
    ping.in_sequence(&mut order)
        .returning(|_| Err(failure(Class::Transient)));
    let close = backend.expect_close().with(eq(2)).once();
    close.in_sequence(&mut order).return_const(());
    let connect = backend.expect_connect().once();
    connect.in_sequence(&mut order).returning(|| Ok(3));
    let ping = backend.expect_ping().with(eq(3)).once();
    ping.in_sequence(&mut order).returning(|_| Ok(()));
    let migrate = backend.expect_migrate().once();
    migrate.in_sequence(&mut order).returning(|_, _| {
        Err(MigrationError::Ledger {
            operation: LedgerOperation::Commit,
            source: failure(Class::Ambiguous),
        })
    });
    let close = backend.expect_close().with(eq(3)).once();
    close.in_sequence(&mut order).return_const(());
    let connect = backend.expect_connect().once();
    connect.in_sequence(&mut order).returning(|| Ok(4));
    let ping = backend.expect_ping().with(eq(4)).once();
    ping.in_sequence(&mut order).returning(|_| Ok(()));
    let migrate = backend.expect_migrate().once();
    migrate.in_sequence(&mut order).returning(|pool, _| {
        assert_eq!(*pool, 4);
        Ok(vec![])
    });

    let database = Database::builder(backend).build().unwrap();
    assert_eq!(*database.initialize().await.unwrap(), 4);
    assert_eq!(*database.ensure_initialized().await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn permanent_failure_is_tried_once() {
    let mut backend = MockBackend::new();
    let connect = backend.expect_connect().once();
    connect.returning(|| Err(failure(Class::Permanent)));
    let database = Database::builder(backend).build().unwrap();
    let error = database.initialize().await.unwrap_err();
    assert!(matches!(*error, InitError::Permanent { .. }));
    let text = crate::chain(&*error);
    assert!(
        text.ends_with("cannot connect to db.example:5432: refused"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn capped_failure_is_tried_twice() {
    let mut backend = MockBackend::new();
    let connect = backend.expect_connect().times(2);
    connect.returning(|| Err(failure(Class::Capped)));
    let database = Database::builder(backend).build().unwrap();
    let error = database.initialize().await.unwrap_err();
    assert!(matches!(
        *error,
        InitError::Exhausted {
            attempts: 2,
            last: AttemptError::Connect(_),
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn contradicting_ledger_is_a_migration_error_and_not_retried() {
    let mut backend = MockBackend::new();
    backend.expect_connect().once().returning(|| Ok(1));
    backend.expect_ping().once().returning(|_| Ok(()));
    backend.expect_migrate().once().returning(|_, _| {
        Err(MigrationError::UnknownCrate {
            id: MigrationId::new("audit", 3),
        })
    });
    backend.expect_close().with(eq(1)).once().return_const(());
    let database = Database::builder(backend).build().unwrap();
    let error = database.initialize().await.unwrap_err();
    assert!(matches!(*error, InitError::Migration { .. }));
    assert!(crate::chain(&*error).contains("audit 3"));
}
