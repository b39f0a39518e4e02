use std::{error::Error, sync::Arc};

use steadfast_sync::Semaphore;

use crate::{
    harness::{Case, Sampling},
    machine::versioned,
    run::{alone as in_one_task, in_tasks},
};

const OURS: &str = "steadfast-sync Semaphore";

pub(super) fn alone() -> Result<Case, Box<dyn Error>> {
    let semaphore = Semaphore::new(10)?;
    let ours = in_one_task(OURS, async move |_| {
        assert!(semaphore.acquire(1).await.is_ok());
    })?;
    let semaphore = tokio::sync::Semaphore::new(10);
    let tokios = in_one_task(tokios(), async move |_| {
        assert!(semaphore.acquire().await.is_ok());
    })?;
    let semaphore = asyncband::semaphore::Semaphore::new(10);
    let asyncbands = in_one_task(asyncbands(), async move |_| {
        drop(semaphore.acquire(1).await);
    })?;
    Ok(Case::new(ours)
        .against(tokios.at_most(1.0))
        .against(asyncbands))
}

pub(super) fn contended() -> Result<Case, Box<dyn Error>> {
    const TASKS: u64 = 8;
    let semaphore = Arc::new(Semaphore::new(1)?);
    let ours = in_tasks(OURS, TASKS, move |numbers| {
        let semaphore = Arc::clone(&semaphore);
        async move {
            for _ in numbers {
                assert!(semaphore.acquire(1).await.is_ok());
            }
        }
    })?;
    let semaphore = Arc::new(tokio::sync::Semaphore::new(1));
    let tokios = in_tasks(tokios(), TASKS, move |numbers| {
        let semaphore = Arc::clone(&semaphore);
        async move {
            for _ in numbers {
                assert!(semaphore.acquire().await.is_ok());
            }
        }
    })?;
    let semaphore = Arc::new(asyncband::semaphore::Semaphore::new(1));
    let asyncbands = in_tasks(asyncbands(), TASKS, move |numbers| {
        let semaphore = Arc::clone(&semaphore);
        async move {
            for _ in numbers {
                drop(semaphore.acquire(1).await);
            }
        }
    })?;
    Ok(Case::new(ours)
        .against(tokios.at_most(1.0))
        .against(asyncbands)
        .sampled(Sampling::LONG))
}

fn tokios() -> String {
    versioned("tokio") + " Semaphore"
}

fn asyncbands() -> String {
    versioned("asyncband") + " Semaphore"
}
