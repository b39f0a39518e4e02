use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{Fire, JobError, JobHandler};

/// A [`JobHandler`] for tests: it records its fires and does what it is told with each.
#[derive(Debug)]
pub struct Recorder {
    behaviour: Mutex<Behaviour>,
    fires: watch::Sender<Vec<Fire>>,
    ended: watch::Sender<usize>,
    /// How many runs are at work, now and at most.
    running: watch::Sender<(usize, usize)>,
}

/// What a [`Recorder`] does with a fire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Succeeds at once.
    #[default]
    Succeed,
    /// Fails at once.
    Fail,
    /// Panics.
    Panic,
    /// Takes this long, whatever is cancelled.
    Take(Duration),
    /// Goes on until it is cancelled.
    UntilCancelled,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(Behaviour::Succeed)
    }
}

impl Recorder {
    /// A handler with this behaviour.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour: Mutex::new(behaviour),
            fires: watch::Sender::default(),
            ended: watch::Sender::default(),
            running: watch::Sender::default(),
        }
    }

    /// Changes what it does with fires from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// The fires so far.
    #[must_use]
    pub fn fires(&self) -> Vec<Fire> {
        self.fires.borrow().clone()
    }

    /// Waits until there are `count` fires, and returns all.
    ///
    /// # Cancel safety
    ///
    /// Safe: it changes nothing.
    pub async fn wait_for_fires(&self, count: usize) -> Vec<Fire> {
        let mut fires = self.fires.subscribe();
        let enough = fires.wait_for(|fires| fires.len() >= count).await;
        enough.map(|fires| fires.clone()).unwrap_or_default()
    }

    /// Waits until `count` runs have ended in any way but a panic.
    ///
    /// # Cancel safety
    ///
    /// Safe: it changes nothing.
    pub async fn wait_for_ends(&self, count: usize) {
        let mut ended = self.ended.subscribe();
        // The sender is alive as long as `self`.
        let _ = ended.wait_for(|ended| *ended >= count).await;
    }

    /// How many runs were at work at the same time, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.running.borrow().1
    }
}

struct AtWork<'a>(&'a Recorder);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|(now, _)| *now -= 1);
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

#[async_trait]
impl JobHandler for Recorder {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        let behaviour = *self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.running.send_modify(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        let _at_work = AtWork(self);
        let cancel = fire.cancel.clone();
        self.fires.send_modify(|fires| fires.push(fire));
        match behaviour {
            Behaviour::Succeed => Ok(()),
            Behaviour::Fail => Err(JobError::new("told to fail")),
            Behaviour::Panic => panic!("told to panic"),
            Behaviour::Take(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Behaviour::UntilCancelled => {
                cancel.cancelled().await;
                Ok(())
            }
        }
    }
}
