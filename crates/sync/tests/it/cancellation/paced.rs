use super::*;

#[tokio::test(start_paused = true)]
async fn driving_leaves_neither_a_run_nor_its_right_behind() {
    let (running, calls) = (Arc::new(()), 3);
    let debounce = Debounce::new(millis(5)).unwrap();
    let throttle = Throttle::new(millis(5)).unwrap();
    let run = |_| hold(Arc::clone(&running));
    let polls = cancel_at_every_poll(
        |_| async {
            let script = async {
                for call in 0..calls {
                    debounce.call(call).unwrap();
                    throttle.call(call).unwrap();
                    tokio::time::sleep(millis(8)).await;
                }
            };
            let mut drives = pin!(both(debounce.drive(run), throttle.drive(run)));
            let mut script = pin!(script);
            poll_fn(|cx| {
                assert!(drives.as_mut().poll(cx).is_pending());
                script.as_mut().poll(cx)
            })
            .await;
        },
        |polls| {
            assert_eq!(Arc::strong_count(&running), 1, "at poll {polls}");
            debounce.cancel();
            throttle.cancel();
            for is_free in [
                poll_once(debounce.drive(run)).is_pending(),
                poll_once(throttle.drive(run)).is_pending(),
            ] {
                assert!(is_free, "driven at poll {polls}");
            }
        },
    );
    assert!(polls.await >= 6);
}

#[tokio::test(start_paused = true)]
async fn closing_that_is_dropped_leaves_no_trace_but_closed() {
    let polls = cancel_at_every_poll(
        |_| async {
            let debounce = Debounce::new(millis(5)).unwrap();
            debounce.call(1).unwrap();
            let drive = debounce.drive(|_| hold(()));
            let (driven, closed) = both(drive, debounce.close()).await;
            driven.unwrap();
            closed.unwrap();
        },
        |_| {},
    );
    assert!(polls.await >= 2);

    let throttle = Throttle::new(millis(5)).unwrap();
    throttle.call(1).unwrap();
    throttle.call(2).unwrap();
    let polls = cancel_at_every_poll(
        |_| both(throttle.close(), throttle.drive(|_| hold(()))),
        |polls| assert_eq!(polls == 0, throttle.call(3).is_ok(), "at poll {polls}"),
    );
    polls.await;
    assert_eq!(throttle.close().await, Ok::<(), CloseError>(()));
}
