use std::{convert::Infallible, error::Error, hint::black_box};

use backon::{ExponentialBuilder, Retryable};
use steadfast_sync::{Decision, Retry};

use crate::{harness::Case, machine::versioned, run::alone as in_one_task};

pub(super) fn alone() -> Result<Case, Box<dyn Error>> {
    let policy = Retry::builder().build()?;
    let ours = in_one_task("steadfast-sync Retry", async move |number| {
        let outcome = policy.run(|_| ready(number), |_| Decision::Retry);
        assert!(black_box(outcome.await).is_ok());
    })?;
    let backons = in_one_task(versioned("backon"), async move |number| {
        let outcome = (|| ready(number)).retry(ExponentialBuilder::default());
        assert!(black_box(outcome.await).is_ok());
    })?;
    let jittered = in_one_task(versioned("backon") + " with jitter", async move |number| {
        let outcome = (|| ready(number)).retry(ExponentialBuilder::default().with_jitter());
        assert!(black_box(outcome.await).is_ok());
    })?;
    Ok(Case::new(ours)
        .against(backons.at_most(1.2))
        .against(jittered)
        .note("Ours has a deadline that includes the execution; backon has none."))
}

async fn ready(number: u64) -> Result<u64, Infallible> {
    Ok(number)
}
