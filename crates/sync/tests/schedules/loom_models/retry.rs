use std::sync::Arc;

use loom::future::block_on;
use steadfast_sync::{Decision, Retry, RetryBudget};

use super::{explore, join, spawn, still_clock};

#[test]
fn charges_and_refills_of_the_budget_are_never_lost() {
    explore(|| {
        let budget = Arc::new(RetryBudget::new(10, 1.0).unwrap());
        let clock = still_clock();
        let retry = Retry::builder()
            .max_attempts(1)
            .budget(Arc::clone(&budget))
            .clock(clock)
            .seed(1)
            .build();
        let retry = Arc::new(retry.unwrap());
        let fail = |retry: &Retry| {
            let run = retry.run(async |_| Err::<(), _>(()), |()| Decision::Retry);
            block_on(run).unwrap_err();
        };
        let failing = [0, 1].map(|_| spawn(&retry, fail));
        join(failing);
        assert_eq!(budget.tokens(), 8);

        let succeeding = spawn(&retry, |retry| {
            let run = retry.run(async |_| Ok::<_, ()>(()), |()| Decision::Retry);
            block_on(run).unwrap();
        });
        fail(&retry);
        join([succeeding]);
        assert_eq!(budget.tokens(), 8);
    });
}
