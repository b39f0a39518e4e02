use std::{sync::Arc, time::Duration};

use steadfast_lease::{LeaseError, LossReason, test_util::Fault};
use tokio::{join, time::sleep};

use crate::support::{Register, SEC, TTL, builder, clock, faulty, lock};

#[tokio::test(start_paused = true)]
async fn lease_is_renewed_while_the_work_runs() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let (a, b) = (lock(&backend, &clock, "a"), lock(&backend, &clock, "b"));
    let outcome = a
        .run(async |cx| {
            for _ in 0..100 {
                sleep(10 * SEC).await;
                cx.check().unwrap();
                assert!(cx.remaining() >= 16 * SEC);
                assert_eq!(b.try_run(async |_| ()).await.unwrap(), None);
            }
            cx.fence()
        })
        .await;
    assert_eq!(outcome.unwrap(), 1);
    assert_eq!(b.run(async |cx| cx.fence()).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn waiter_gets_the_lease_soon_after_its_release() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let (a, b) = (lock(&backend, &clock, "a"), lock(&backend, &clock, "b"));
    let begun = clock.monotonic();
    let (first, second) = join!(
        a.run(async |_| sleep(20 * SEC).await),
        b.run(async |_| clock.monotonic() - begun)
    );
    first.unwrap();
    let waited = second.unwrap();
    assert!((20 * SEC..=23 * SEC).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_held_lease_ends_at_the_acquire_timeout() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let a = lock(&backend, &clock, "a");
    let b = builder(Arc::clone(&backend) as _, &clock, "b")
        .acquire_timeout(50 * SEC)
        .build()
        .unwrap();
    let begun = clock.monotonic();
    let error = a
        .run(async |_| b.run(async |_| ()).await)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "lease of `key` was not granted within 50s"
    );
    assert_eq!(clock.monotonic() - begun, 50 * SEC);
}

#[tokio::test(start_paused = true)]
async fn longest_acquire_timeout_is_no_overflow() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let a = builder(backend, &clock, "a")
        .acquire_timeout(Duration::MAX)
        .build()
        .unwrap();
    assert_eq!(a.run(async |_| 1).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn transient_trouble_is_waited_out_and_named_when_the_time_is_over() {
    let clock = clock();
    let backend = faulty(&clock, |call| {
        if call < 4 {
            Fault::Refused
        } else {
            Fault::None
        }
    });
    assert_eq!(
        lock(&backend, &clock, "a").run(async |_| 1).await.unwrap(),
        1
    );

    let broken = faulty(&clock, |_| Fault::Refused);
    let error = lock(&broken, &clock, "a")
        .run(async |_| ())
        .await
        .unwrap_err();
    let LeaseError::AcquireTimedOut { last, .. } = error else {
        panic!("another error: {error}");
    };
    assert_eq!(last.unwrap().to_string(), "connection refused");
}

#[tokio::test(start_paused = true)]
async fn attempt_without_an_answer_is_given_up_for_another_after_the_ttl() {
    let clock = clock();
    let backend = faulty(&clock, |call| match call {
        0 => Fault::Hangs,
        _ => Fault::None,
    });
    let begun = clock.monotonic();
    let waited = lock(&backend, &clock, "a")
        .run(async |_| clock.monotonic() - begun)
        .await
        .unwrap();
    assert!((TTL..=TTL + 3 * SEC).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn renewal_survives_trouble_that_passes_in_time() {
    for fault in [
        Fault::Refused,
        Fault::AnswerLost,
        Fault::Hangs,
        Fault::AnswerHangs,
    ] {
        let clock = clock();
        // Every other renewal fails.
        let backend = faulty(
            &clock,
            move |call| {
                if call % 2 == 1 { fault } else { Fault::None }
            },
        );
        let outcome = lock(&backend, &clock, "a")
            .run(async |cx| {
                sleep(20 * TTL).await;
                cx.check()
            })
            .await;
        assert_eq!(outcome.unwrap(), Ok(()), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unrenewed_lease_cancels_the_work_at_expiry_minus_margin() {
    for fault in [Fault::Refused, Fault::Hangs] {
        let clock = clock();
        let backend = faulty(
            &clock,
            move |call| {
                if call == 0 { Fault::None } else { fault }
            },
        );
        let begun = clock.monotonic();
        let mut cancelled_at = None;
        let error = lock(&backend, &clock, "a")
            .run(async |cx| {
                cx.cancellation().cancelled().await;
                cancelled_at = Some(clock.monotonic() - begun);
                assert_eq!(cx.check().unwrap_err().reason, LossReason::Expired);
            })
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "lease of `key` with fence 1 was lost: it was not renewed in time"
        );
        // 30 s, less the drift of 302 ms, less the margin of 3 s.
        let cancelled_at = cancelled_at.unwrap();
        let expected = Duration::from_millis(26_698);
        let late = cancelled_at.saturating_sub(expected);
        assert!(
            cancelled_at >= expected && late <= Duration::from_millis(1),
            "{cancelled_at:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn lease_that_is_gone_cancels_the_work_at_the_next_renewal() {
    use steadfast_lease::{Grant, LockBackend};
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let begun = clock.monotonic();
    let error = lock(&backend, &clock, "a")
        .run(async |cx| {
            let stolen = Grant::new("key", "admin", cx.fence(), begun, TTL);
            backend.inner().release(&stolen).await.unwrap();
            cx.cancellation().cancelled().await;
            assert_eq!(clock.monotonic() - begun, 10 * SEC);
            assert_eq!(cx.check().unwrap_err().reason, LossReason::Taken);
        })
        .await
        .unwrap_err();
    assert!(matches!(error, LeaseError::Lost(_)));
}

#[tokio::test(start_paused = true)]
async fn lease_is_released_only_after_the_work_has_returned() {
    let clock = clock();
    let backend = faulty(&clock, |call| {
        if call == 2 {
            Fault::Broken
        } else {
            Fault::None
        }
    });
    let (a, b) = (lock(&backend, &clock, "a"), lock(&backend, &clock, "b"));
    let mut returned = None;
    let work = a.run(async |cx| {
        cx.cancellation().cancelled().await; // the second renewal, at 20 s
        sleep(5 * SEC).await;
        returned = Some(clock.monotonic());
    });
    // The rival's attempts would be calls of their own in the script.
    let rival = async {
        sleep(21 * SEC).await;
        b.run(async |_| clock.monotonic()).await
    };
    let (first, second) = join!(work, rival);
    assert!(matches!(first, Err(LeaseError::Lost(_))));
    assert!(second.unwrap() >= returned.unwrap());
}

#[tokio::test(start_paused = true)]
async fn context_outlives_its_lease_only_as_a_refusal() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let cx = lock(&backend, &clock, "a")
        .run(async |cx| cx)
        .await
        .unwrap();
    assert_eq!(cx.check().unwrap_err().reason, LossReason::Finished);
    assert_eq!(cx.remaining(), Duration::ZERO);
    assert!(cx.cancellation().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn holder_that_was_asleep_is_stopped_by_the_check_and_its_write_by_the_fence() {
    let manual = Arc::new(steadfast_clock::ManualClock::ticking(
        std::time::SystemTime::UNIX_EPOCH,
    ));
    let clock: Arc<dyn steadfast_clock::Clock> = Arc::clone(&manual) as _;
    let backend = faulty(&clock, |_| Fault::None);
    let (a, b) = (lock(&backend, &clock, "a"), lock(&backend, &clock, "b"));
    let register = Register::default();
    let outcome = a
        .run(async |cx| {
            assert!(register.write(cx.fence()));
            cx.check().unwrap();
            // The machine stops here: no timer fires, time passes, another takes over.
            manual.advance(2 * TTL);
            assert!(!cx.cancellation().is_cancelled(), "no timer fired");
            assert!(cx.check().is_err(), "the clock tells none the less");
            let successor = b.try_run(async |cx| register.write(cx.fence())).await;
            assert_eq!(successor.unwrap(), Some(true));
            assert!(!register.write(cx.fence()), "the fence refuses it");
        })
        .await;
    assert!(matches!(outcome, Err(LeaseError::Lost(_))));
    assert_eq!(register.writes(), [1, 2]);
}
