//! Many small writes in one transaction, so that they share the wait for the disk.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// How many writes share a transaction at most, as many as a scheduler runs at once: others get
/// their turns at the writer in between.
const MAX_GROUP: usize = 256;

/// Gathers the writes that arrive while a transaction is under way into the next one.
///
/// There is no task behind it: whoever waits first commits for all. The writes must be such that
/// doing one twice is doing it once.
#[derive(Debug)]
pub(super) struct GroupCommit<W, A> {
    waiting: Mutex<Vec<(W, oneshot::Sender<A>)>>,
    turn: tokio::sync::Mutex<()>,
}

impl<W, A> Default for GroupCommit<W, A> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl<W, A> GroupCommit<W, A> {
    /// Has `write` done in a group, by `commit`, which does all or nothing and answers each in
    /// order; `None` if the group failed: the write is to be done alone then, so that one that
    /// cannot be done fails by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the write is done or not. If it was the one that committed for others, these do
    /// theirs alone.
    pub(super) async fn join<C>(&self, write: W, commit: impl Fn(Vec<W>) -> C) -> Option<A>
    where
        C: Future<Output = sqlx::Result<Vec<A>>>,
    {
        let (answer, mut answered) = oneshot::channel();
        self.with_waiting(|waiting| waiting.push((write, answer)));
        let _turn = self.turn.lock().await;
        loop {
            match answered.try_recv() {
                Ok(answer) => return Some(answer),
                Err(oneshot::error::TryRecvError::Closed) => return None,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let group = self.with_waiting(|waiting| {
                // Nobody waits any more for the writes of those that were dropped.
                waiting.retain(|(_, answer)| !answer.is_closed());
                let end = waiting.len().min(MAX_GROUP);
                waiting.drain(..end).collect::<Vec<_>>()
            });
            let (writes, waiters): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            let answers = commit(writes).await.unwrap_or_default();
            for (waiter, answer) in waiters.into_iter().zip(answers) {
                // Whoever was dropped meanwhile wants no answer.
                let _ = waiter.send(answer);
            }
        }
    }

    fn with_waiting<R>(&self, f: impl FnOnce(&mut Vec<(W, oneshot::Sender<A>)>) -> R) -> R {
        f(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    /// Submits numbers; answers are their doubles, unless a group has a number that fails it.
    async fn doubles(numbers: impl Iterator<Item = u64>, poison: u64) -> (Vec<Option<u64>>, usize) {
        let group = Arc::new(GroupCommit::default());
        let commits = Arc::new(Mutex::new(0));
        let mut tasks = JoinSet::new();
        for number in numbers {
            let (group, commits) = (group.clone(), commits.clone());
            tasks.spawn(async move {
                let commit = |writes: Vec<u64>| {
                    let commits = commits.clone();
                    async move {
                        tokio::task::yield_now().await;
                        *commits.lock().unwrap() += 1;
                        match writes.contains(&poison) {
                            true => Err(sqlx::Error::PoolTimedOut),
                            false => Ok(writes.iter().map(|write| write * 2).collect()),
                        }
                    }
                };
                (number, group.join(number, commit).await)
            });
        }
        let mut answers = tasks.join_all().await;
        answers.sort_unstable();
        let commits = *commits.lock().unwrap();
        (answers.into_iter().map(|(_, a)| a).collect(), commits)
    }

    #[tokio::test]
    async fn each_gets_its_own_answer_from_few_groups() {
        let (answers, commits) = doubles(0..800, u64::MAX).await;
        assert!(answers.iter().copied().eq((0..800).map(|n| Some(n * 2))));
        assert!((4..=6).contains(&commits), "{commits} groups");
    }

    #[tokio::test]
    async fn failed_group_sends_each_away_to_do_it_alone() {
        let (answers, _) = doubles([1, 2, 3].into_iter(), 2).await;
        assert!(answers.contains(&None), "{answers:?}");
        assert_eq!(answers[1], None);
    }

    #[tokio::test]
    async fn dropped_writes_are_not_done_and_a_dropped_leader_takes_nobody_down() {
        let group = GroupCommit::<u64, u64>::default();
        let hangs = |_: Vec<u64>| std::future::pending();
        let mut leader = Box::pin(group.join(1, hangs));
        let mut follower = Box::pin(group.join(2, hangs));
        assert!(futures_util::poll!(&mut leader).is_pending());
        assert!(futures_util::poll!(&mut follower).is_pending());
        drop(follower);
        drop(leader);
        let commit = |writes: Vec<u64>| async move { Ok(writes) };
        assert_eq!(group.join(3, commit).await, Some(3));
        assert!(group.waiting.lock().unwrap().is_empty());
    }
}
