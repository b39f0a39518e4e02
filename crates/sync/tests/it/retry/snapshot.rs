//! What the registry shows of a policy.

use std::sync::Arc;

use steadfast_sync::{Decision, PrimitiveState, Registry, RetryBudget};

use super::builder;
use crate::support::{Boxed, millis, poll};

#[tokio::test(start_paused = true)]
async fn named_policy_is_listed_with_its_runs_by_how_they_ended() {
    let registry = Registry::new();
    let budget = Arc::new(RetryBudget::new(6, 1.0).unwrap());
    let builder = builder().name("payments").registry(&registry);
    let builder = builder.budget(budget).max_attempts(3);
    let retry = builder.deadline(millis(60_000)).build().unwrap();
    assert_eq!(retry.name(), "payments");
    let seen = || match &registry.snapshot()[..] {
        [one] if one.name == "payments" => match &one.state {
            PrimitiveState::Retry(seen) => seen.clone(),
            other => panic!("{other:?}"),
        },
        others => panic!("{others:?}"),
    };
    let fail = |_| async { Err::<(), _>("down") };

    retry
        .run(|_| async { Ok::<_, ()>(()) }, |()| Decision::Retry)
        .await
        .unwrap();
    let later = |attempt| async move { if attempt < 2 { Err(()) } else { Ok(()) } };
    retry.run(later, |()| Decision::Retry).await.unwrap();
    retry.run(fail, |_| Decision::Stop).await.unwrap_err();
    retry
        .run(fail, |_| Decision::RetryAfter(millis(100_000)))
        .await
        .unwrap_err();
    assert_eq!(seen().budget_tokens, Some(5));
    retry
        .run(fail, |_| Decision::Rejected(millis(1)))
        .await
        .unwrap_err();
    retry.run(fail, |_| Decision::Retry).await.unwrap_err();

    let mut waiting: Boxed<'_, _> = Box::pin(retry.run(
        |_| std::future::pending::<Result<(), ()>>(),
        |()| Decision::Retry,
    ));
    assert_eq!(seen().running, 0, "it was not polled yet");
    assert!(poll(&mut waiting).is_pending());
    let state = seen();
    assert_eq!(
        (state.running, state.attempts, state.succeeded),
        (1, 1 + 2 + 1 + 1 + 3 + 2 + 1, 2)
    );
    assert_eq!((state.exhausted, state.past_deadline), (1, 1));
    assert_eq!((state.not_retryable, state.budget_empty), (1, 1));
    assert_eq!(state.budget_tokens, Some(3));
    drop(waiting);
    assert_eq!(seen().running, 0);
    drop(retry);
    assert!(registry.snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn panic_in_an_attempt_leaves_no_run_behind() {
    let retry = Arc::new(builder().build().unwrap());
    let policy = Arc::clone(&retry);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let operation = |attempt| async move {
            assert_ne!(attempt, 2, "second");
            Err::<(), _>("down")
        };
        policy.run(operation, |_| Decision::Retry).await
    });
    let joined = tasks.join_next().await.unwrap();
    assert!(joined.unwrap_err().is_panic());
    let seen = retry.snapshot();
    assert_eq!((seen.running, seen.attempts), (0, 2));
}
