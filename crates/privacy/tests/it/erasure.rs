use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::SignedDuration;
use steadfast_lease::LeaseLock;
use steadfast_privacy::{
    Connections, ERASURE_GRACE, ErasureError, ErasureStatus, ErasureStore, Erasures, Finding,
    MockConnections, MockErasureStore, MockPersonalData, MockTombstoneLog, PersonalData, PortError,
    Privacy, PrivacyError, Receipt, RunStatus, TombstoneLog, Trigger, test_util::MemoryErasures,
};
use uuid::Uuid;

use crate::{
    World,
    crashing::{Crashing, Hit},
};

const ANN: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);

trait Ports: ErasureStore + PersonalData + Connections + TombstoneLog + 'static {}

impl<T: ErasureStore + PersonalData + Connections + TombstoneLog + 'static> Ports for T {}

fn erasures(world: &World, ports: Arc<impl Ports>) -> Erasures {
    let erasures = Erasures::new(ports.clone(), ports.clone(), ports.clone(), ports).unwrap();
    erasures.clock(world.clock.clone()).batch(2)
}

fn privacy(world: &World, erasures: &Erasures) -> Privacy {
    world.builder().erasures(erasures.clone()).build().unwrap()
}

fn world() -> (World, Arc<MemoryErasures>) {
    let store = Arc::new(MemoryErasures::new());
    store.plant(ANN, 5);
    store.plant(BOB, 5);
    (World::new(), store)
}

#[tokio::test(start_paused = true)]
async fn request_waits_for_its_grace_and_then_leaves_nothing_but_a_receipt() {
    let (world, store) = world();
    let erasures = erasures(&world, store.clone());
    let privacy = privacy(&world, &erasures);
    let request = erasures.request(ANN, Some([7; 32]), false).await.unwrap();
    assert_eq!(request.due_at - request.requested_at, ERASURE_GRACE);

    world.clock.advance(Duration::from_secs(7 * 24 * 3600 - 1));
    privacy.erase(Trigger::Schedule).await.unwrap();
    assert_eq!(store.left(ANN), (15, true, true), "not yet");

    world.clock.advance(Duration::from_secs(1));
    let run = privacy.erase(Trigger::Schedule).await.unwrap();
    assert_eq!(run.status, RunStatus::Succeeded);
    assert_eq!(store.left(ANN), (0, false, false));
    assert_eq!(store.left(BOB), (15, true, true));
    let done = erasures.by_code([7; 32]).await.unwrap().unwrap();
    assert_eq!(
        (done.id, done.status),
        (request.id, ErasureStatus::Completed)
    );
    assert_eq!(rows(&done.receipt.unwrap()), 15);
    let log = store.read().await.unwrap();
    assert_eq!(log.iter().map(|it| it.user_id).collect::<Vec<_>>(), [ANN]);
}

#[tokio::test(start_paused = true)]
async fn row_16_erasures_that_should_have_been_carried_out_are_counted() {
    let (world, store) = world();
    let erasures = erasures(&world, store);
    let privacy = privacy(&world, &erasures);
    erasures.request(ANN, None, false).await.unwrap();
    let two_days = Duration::from_secs(2 * 24 * 3600);
    world
        .clock
        .advance(Duration::from_secs(7 * 24 * 3600) + two_days);
    let report = async || {
        privacy
            .compliance(Trigger::Api)
            .await
            .unwrap()
            .report
            .unwrap()
    };
    assert_eq!(report().await.overdue_erasures, Some(0), "not yet");

    world.clock.advance(Duration::from_secs(1));
    let late = report().await;
    assert_eq!(late.overdue_erasures, Some(1));
    assert!(
        late.findings
            .contains(&Finding::OverdueErasures { count: 1 })
    );

    privacy.erase(Trigger::Schedule).await.unwrap();
    let after = report().await;
    assert_eq!(after.overdue_erasures, Some(0));
    assert!(
        !after
            .findings
            .contains(&Finding::OverdueErasures { count: 0 })
    );
}

#[tokio::test(start_paused = true)]
async fn cancelled_request_erases_nothing_and_makes_room_for_another() {
    let (world, store) = world();
    let erasures = erasures(&world, store.clone());
    let request = erasures.request(ANN, None, true).await.unwrap();
    let again = erasures.request(ANN, None, true).await.unwrap_err();
    let ErasureError::Open { erasure } = again else {
        panic!("{again}");
    };
    assert_eq!(*erasure, request);
    let cancelled = erasures.cancel(request.id).await.unwrap();
    assert_eq!(cancelled.status, ErasureStatus::Cancelled);
    privacy(&world, &erasures)
        .erase(Trigger::Api)
        .await
        .unwrap();
    assert_eq!(store.left(ANN), (15, true, true));
    let twice = erasures.cancel(request.id).await.unwrap_err();
    assert!(matches!(twice, ErasureError::NotPending { .. }), "{twice}");
    erasures.request(ANN, None, false).await.unwrap();
    assert_eq!(erasures.list(Some(ANN), None, 9).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn death_or_failure_at_any_call_is_made_good_by_the_next_run() {
    let mut calls = [0; 3];
    for (hits, hit) in [Hit::DiesBefore, Hit::DiesAfter, Hit::Fails]
        .into_iter()
        .enumerate()
    {
        for at in 0.. {
            let (world, store) = world();
            let erasures = erasures(&world, store.clone());
            let request = erasures.request(ANN, None, true).await.unwrap();
            let crashing = Crashing::new(store.clone(), hit, at);
            let first = privacy(&world, &self::erasures(&world, crashing.clone()));
            let ended =
                tokio::time::timeout(Duration::from_secs(10), first.erase(Trigger::Schedule));
            // Before a call that does not answer is given up and made again.
            let ended = ended.await;
            if !crashing.was_hit() {
                ended.unwrap().unwrap();
                break;
            }
            assert_eq!(ended.is_err(), hit != Hit::Fails, "{hit:?} at {at}");
            drop(first);
            // The lock of the dead expires.
            world.clock.advance(Duration::from_secs(600));

            let next = privacy(&world, &erasures);
            let run = next.erase(Trigger::Schedule).await.unwrap();
            assert_eq!(run.status, RunStatus::Succeeded, "{hit:?} at {at}");
            assert_eq!(store.left(ANN), (0, false, false), "{hit:?} at {at}");
            assert_eq!(store.left(BOB), (15, true, true), "{hit:?} at {at}");
            let done = erasures.get(request.id).await.unwrap();
            assert_eq!(done.status, ErasureStatus::Completed, "{hit:?} at {at}");
            let erased = rows(&done.receipt.unwrap());
            assert_eq!(erased, 15, "{hit:?} at {at}: every row counts once");
            assert_eq!(store.read().await.unwrap().len(), 1, "{hit:?} at {at}");
            calls[hits] += 1;
        }
    }
    assert!(calls.iter().all(|calls| *calls > 20), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn erasure_that_fails_fails_the_run_keeps_others_going_and_is_tried_again() {
    let (world, store) = world();
    let erasures = erasures(&world, store.clone());
    let ann = erasures.request(ANN, None, true).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let bob = erasures.request(BOB, None, true).await.unwrap();
    // Of the first request the call after its beginning fails.
    let crashing = Crashing::new(store.clone(), Hit::Fails, 2);
    let first = privacy(&world, &self::erasures(&world, crashing));
    let error = first.erase(Trigger::Schedule).await.unwrap_err();
    let PrivacyError::Incomplete { run } = error else {
        panic!("{error}");
    };
    assert_eq!(run.status, RunStatus::Failed);
    let problem = run.error.unwrap();
    assert!(problem.contains(&ann.id.to_string()), "{problem}");
    let failed = erasures.get(ann.id).await.unwrap();
    assert_eq!(failed.status, ErasureStatus::Failed);
    assert!(failed.error.unwrap().contains("hit"));
    let other = erasures.get(bob.id).await.unwrap();
    assert_eq!(other.status, ErasureStatus::Completed);
    let late = world.days_ago(0) + SignedDuration::from_secs(1);
    assert_eq!(erasures.count_overdue(late).await.unwrap(), 1);

    privacy(&world, &erasures)
        .erase(Trigger::Schedule)
        .await
        .unwrap();
    let done = erasures.get(ann.id).await.unwrap();
    assert_eq!((done.status, done.error), (ErasureStatus::Completed, None));
}

#[tokio::test(start_paused = true)]
async fn run_that_meets_another_is_recorded_as_skipped() {
    let (world, store) = world();
    let erasures = erasures(&world, store.clone());
    erasures.request(ANN, None, true).await.unwrap();
    let lock = LeaseLock::builder(world.locks.clone(), "privacy/erasure", "another");
    let lock = lock.clock(world.clock.clone()).build().unwrap();
    let privacy = privacy(&world, &erasures);
    let met = lock.run(async |_| privacy.erase(Trigger::Cli).await.unwrap());
    assert_eq!(met.await.unwrap().status, RunStatus::Skipped);
    assert_eq!(store.left(ANN), (15, true, true));
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_behind_the_erasure_is_erased_by_the_runs_of_the_day() {
    let (world, store) = world();
    let erasures = erasures(&world, store.clone());
    erasures.request(ANN, None, true).await.unwrap();
    let privacy = privacy(&world, &erasures);
    privacy.erase(Trigger::Schedule).await.unwrap();
    store.plant(ANN, 1);
    privacy.erase(Trigger::Schedule).await.unwrap();
    let (rows, _, connected) = store.left(ANN);
    assert_eq!((rows, connected), (0, false));
}

#[tokio::test(start_paused = true)]
async fn restored_user_is_erased_again_and_nobody_else() {
    let (world, store) = world();
    let erasures = erasures(&world, store.clone());
    assert_eq!(erasures.reapply().await.unwrap(), 0);
    erasures.request(ANN, None, true).await.unwrap();
    privacy(&world, &erasures)
        .erase(Trigger::Schedule)
        .await
        .unwrap();
    assert_eq!(erasures.reapply().await.unwrap(), 0, "it is known here");

    store.restore(ANN, 4);
    assert_eq!(erasures.reapply().await.unwrap(), 1);
    assert_eq!(store.left(ANN), (0, false, false));
    assert_eq!(store.left(BOB), (15, true, true));
    let again = erasures.list(Some(ANN), None, 9).await.unwrap();
    assert_eq!(again[0].status, ErasureStatus::Completed);
    assert_eq!(erasures.reapply().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn steps_come_in_their_order() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let step = |name: &'static str| {
        let steps = steps.clone();
        move || steps.lock().unwrap().push(name)
    };
    let world = World::new();
    let memory = MemoryErasures::new();
    let template = Arc::new(memory);
    let request = erasures(&world, template)
        .request(ANN, None, true)
        .await
        .unwrap();
    let mut store = MockErasureStore::new();
    let due = request.clone();
    store
        .expect_due()
        .returning(move |_, _, _| Ok(vec![due.clone()]));
    store
        .expect_completed_since()
        .returning(|_, _, _| Ok(Vec::new()));
    let begin = step("begin");
    store.expect_begin().returning(move |_| {
        begin();
        Ok(true)
    });
    let complete = step("receipt");
    store.expect_complete().returning(move |grave| {
        complete();
        Ok(Receipt {
            request_id: grave.request_id,
            user_id: grave.user_id,
            requested_at: request.requested_at,
            finished_at: grave.erased_at,
            tables: Vec::new(),
        })
    });
    let mut data = MockPersonalData::new();
    data.expect_tables()
        .returning(|| vec!["session", "account"]);
    let cancel = step("schedules");
    data.expect_cancel_schedules().returning(move |_| {
        cancel();
        Ok(())
    });
    let (session, account) = (step("session"), step("account"));
    data.expect_erase_batch().returning(move |_, _, table, _| {
        match table {
            "session" => session(),
            _ => account(),
        }
        Ok(0)
    });
    let mut connections = MockConnections::new();
    let close = step("connections");
    connections.expect_close().returning(move |_| close());
    let mut log = MockTombstoneLog::new();
    let bury = step("tombstone");
    log.expect_append().returning(move |_| {
        bury();
        Ok::<_, PortError>(())
    });
    let erasures = Erasures::new(
        Arc::new(store),
        Arc::new(data),
        Arc::new(connections),
        Arc::new(log),
    );
    let erasures = erasures.unwrap().clock(world.clock.clone());
    privacy(&world, &erasures)
        .erase(Trigger::Schedule)
        .await
        .unwrap();
    let expected = [
        "begin",
        "schedules",
        "connections",
        "session",
        "account",
        "connections",
        "tombstone",
        "receipt",
    ];
    assert_eq!(*steps.lock().unwrap(), expected);
}

fn rows(receipt: &Receipt) -> u64 {
    receipt.tables.iter().map(|table| table.rows).sum()
}
