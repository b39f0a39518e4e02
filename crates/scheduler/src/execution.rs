use std::{any::Any, error::Error, fmt::Write, sync::Arc, time::Duration};

use steadfast_sync::OwnedLockGuard;

use crate::{Ending, Fire, LockName, Outcome, live::LiveRun, shared::Shared};

/// How long a run that was replaced may take to end before it is dropped.
const REPLACED_GRACE: Duration = Duration::from_secs(5);

/// The longest message kept of an error or a panic, in bytes.
const MAX_MESSAGE: usize = 1_024;

/// Runs one claimed occurrence, after `predecessors` have ended.
pub(crate) fn execute(
    shared: Arc<Shared>,
    live: Arc<LiveRun>,
    predecessors: Vec<Arc<LiveRun>>,
) -> impl Future<Output = Ending> {
    // Not within the future: its task may be dropped before it is polled.
    let ended = live.ended.clone().drop_guard();
    async move {
        let _ended = ended;
        let turn = tokio::select! {
            biased;
            () = live.cancel.cancelled() => return not_started(&live),
            turn = wait_for_turn(&shared, &live, &predecessors) => turn,
        };
        let _lock = match turn {
            Ok(lock) => lock,
            Err(message) => return Ending::Done(Outcome::Failed { message }),
        };
        if !live.start() {
            return not_started(&live);
        }
        Ending::Done(call(&shared, &live).await)
    }
}

fn not_started(live: &LiveRun) -> Ending {
    live.stop();
    if live.is_revoked() {
        Ending::Done(Outcome::Superseded)
    } else {
        Ending::Released
    }
}

async fn wait_for_turn(
    shared: &Arc<Shared>,
    live: &LiveRun,
    predecessors: &[Arc<LiveRun>],
) -> Result<Option<OwnedLockGuard<LockName>>, String> {
    for predecessor in predecessors {
        predecessor.stop();
    }
    for predecessor in predecessors {
        let ended = predecessor.ended.cancelled();
        if tokio::time::timeout(REPLACED_GRACE, ended).await.is_err() {
            predecessor.abort();
            predecessor.ended.cancelled().await;
        }
    }
    match &live.run.policy.lock {
        Some(name) => {
            let lock = shared.locks.lock_owned(name.clone()).await;
            lock.map(Some).map_err(|error| in_full(&error))
        }
        None => Ok(None),
    }
}

async fn call(shared: &Shared, live: &LiveRun) -> Outcome {
    let run = &live.run;
    let late = shared.now().duration_since(run.id.scheduled_for);
    let fire = Fire {
        key: run.id.key.clone(),
        generation: run.generation,
        scheduled_for: run.id.scheduled_for,
        late: late.try_into().unwrap_or(Duration::ZERO),
        fence: run.id.fence,
        cause: run.cause,
        cancel: live.cancel.clone(),
    };
    let work = shared.handler.0.run(fire);
    let result = match run.policy.timeout {
        Some(timeout) => match tokio::time::timeout(timeout, work).await {
            Ok(result) => result,
            Err(_) => {
                live.cancel.cancel();
                return Outcome::TimedOut;
            }
        },
        None => work.await,
    };
    match result {
        Ok(()) => Outcome::Succeeded,
        Err(error) => Outcome::Failed {
            message: in_full(&error),
        },
    }
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic with a value that is not a text".into());
    shorten(message)
}

/// An error with its sources, as one line.
fn in_full(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source.filter(|_| message.len() <= MAX_MESSAGE) {
        let _ = write!(message, ": {error}");
        source = error.source();
    }
    shorten(message)
}

fn shorten(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, MemoryJobStore, MockJobHandler, Policy, Run, RunId, Scheduler};

    #[test]
    fn run_that_is_dropped_before_it_is_polled_has_ended() {
        let store = Arc::new(MemoryJobStore::new());
        let scheduler = Scheduler::builder("ns", store, Arc::new(MockJobHandler::new()));
        let shared = scheduler.build().unwrap().shared;
        let run = Run {
            id: RunId {
                key: "job".into(),
                scheduled_for: jiff::Timestamp::UNIX_EPOCH,
                fence: 1,
            },
            generation: 1,
            cause: Cause::Scheduled,
            policy: Policy::default(),
        };
        let live = shared.live.admit(vec![run]).remove(0);
        drop(execute(shared, live.clone(), Vec::new()));
        assert!(
            live.ended.is_cancelled(),
            "its successor would wait for ever"
        );
    }
}
