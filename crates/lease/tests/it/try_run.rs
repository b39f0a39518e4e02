use std::sync::Arc;

use steadfast_lease::{LeaseError, test_util::Fault};
use tokio::{join, time::sleep};

use crate::support::{SEC, TTL, clock, faulty, lock};

#[tokio::test(start_paused = true)]
async fn held_lease_is_none_and_the_work_is_not_begun() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let (a, b) = (lock(&backend, &clock, "a"), lock(&backend, &clock, "b"));
    let namesake = lock(&backend, &clock, "a");
    let outcome = a
        .try_run(async |_| {
            for rival in [&b, &namesake, &a] {
                let refused = rival.try_run(async |_| panic!("two holders")).await;
                assert!(matches!(refused, Ok(None)));
            }
            5
        })
        .await;
    assert_eq!(outcome.unwrap(), Some(5));
    assert_eq!(b.try_run(async |_| 6).await.unwrap(), Some(6));
}

#[tokio::test(start_paused = true)]
async fn backend_without_an_answer_is_an_error_within_the_ttl() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::Hangs);
    let begun = clock.monotonic();
    let outcome = lock(&backend, &clock, "a").try_run(async |_| ()).await;
    assert!(matches!(outcome, Err(LeaseError::AcquireTimedOut { .. })));
    assert_eq!(clock.monotonic() - begun, TTL);
}

#[tokio::test(start_paused = true)]
async fn future_is_inert_until_polled() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let a = lock(&backend, &clock, "a");
    drop(a.try_run(async |_| ()));
    drop(a.run(async |_| ()));
    assert_eq!(backend.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_work_ends_the_renewal_and_its_context_and_the_lease_expires() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let (a, b) = (lock(&backend, &clock, "a"), lock(&backend, &clock, "b"));
    let mut context = None;
    let work = a.try_run(async |cx| {
        context = Some(cx);
        std::future::pending::<()>().await;
    });
    assert!(tokio::time::timeout(15 * SEC, work).await.is_err());
    let context = context.unwrap();
    assert!(context.cancellation().is_cancelled() && context.check().is_err());

    // Renewed at 10 s, dropped at 15 s, expired at 40 s.
    sleep(24 * SEC).await;
    assert_eq!(b.try_run(async |_| ()).await.unwrap(), None);
    sleep(2 * SEC).await;
    assert_eq!(b.try_run(async |_| ()).await.unwrap(), Some(()));
    assert_eq!(
        backend.calls(),
        5,
        "acquired, renewed, refused, acquired, released"
    );
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_work_goes_on_and_leaves_the_lease_to_expire() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let a = Arc::new(lock(&backend, &clock, "a"));
    let mut tasks = tokio::task::JoinSet::new();
    let work = Arc::clone(&a);
    tasks.spawn(async move {
        let panics = async |_| std::panic::resume_unwind(Box::new("work"));
        work.try_run::<(), _, _>(panics).await
    });
    let outcome = tasks.join_next().await.unwrap();
    assert!(outcome.unwrap_err().is_panic());
    assert_eq!(a.try_run(async |_| ()).await.unwrap(), None);
    sleep(TTL).await;
    assert_eq!(a.try_run(async |_| ()).await.unwrap(), Some(()));
}

#[tokio::test(start_paused = true)]
async fn many_at_once_run_one() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let locks = ["a", "b", "c"].map(|owner| lock(&backend, &clock, owner));
    let work = async |_| sleep(SEC).await;
    let [a, b, c] = &locks;
    let outcomes = join!(a.try_run(work), b.try_run(work), c.try_run(work));
    let ran = [outcomes.0, outcomes.1, outcomes.2].map(|outcome| outcome.unwrap().is_some());
    assert_eq!(ran, [true, false, false]);
}
