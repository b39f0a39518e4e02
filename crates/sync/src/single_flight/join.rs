use std::{
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tracing::debug;

use super::{
    Core, Landed,
    entry::{Entry, FirstPoll},
    flights::{Flights, Flying, Shared},
};
use crate::{
    FlightError,
    flight::{BoxFuture, Flight, Member, Outcome, panic_message},
    rt,
};

impl<V: Clone, E> Outcome for Landed<V, E> {
    fn panicked(message: Arc<str>) -> Self {
        Err(FlightError::Panicked { message })
    }

    fn recursive() -> Self {
        Err(FlightError::Recursive)
    }
}

/// One caller's wait for the outcome.
pub(super) struct Join<'a, K, V: Clone, E, F> {
    core: &'a Arc<Core<K, V, E>>,
    /// The key, and what makes the work if this caller turns out to be the first. None once it
    /// has been polled.
    call: Option<(K, F)>,
    member: Option<Member<Entry<'a, K, V, E>>>,
}

impl<K, V: Clone, E, F> Unpin for Join<'_, K, V, E, F> {}

impl<'a, K, V: Clone, E, F> Join<'a, K, V, E, F> {
    pub(super) fn new(core: &'a Arc<Core<K, V, E>>, key: K, work: F) -> Self {
        Self {
            core,
            call: Some((key, work)),
            member: None,
        }
    }

    /// Joins the key's flight or begins one.
    fn start<Fut>(&mut self, key: K, work: F, cx: &mut Context<'_>) -> Poll<Landed<V, E>>
    where
        K: Hash + Eq,
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let core = self.core;
        let hash = core.shards.hash(&key);
        let shard = core.shards.index(hash);
        let mut flights = core.shards.lock(shard);
        if let Some(index) = flights.table.find(hash, &key) {
            let member = join(core, &mut flights, shard, index);
            drop(flights);
            return match member {
                Some(member) => self.member.insert(member).drive(cx),
                None => Poll::Ready(Err(FlightError::Recursive)),
            };
        }
        let alone = Flying::Alone(rt::thread_id());
        let index = flights.table.insert(hash, key, alone);
        flights.totals.executed += 1;
        drop(flights);
        self.lead(Entry::new(core, shard, index), work, cx)
    }

    /// Begins the work and polls it once. It is woken as this caller is, as long as it is alone:
    /// whoever joins later polls the work too, and so replaces the waker.
    fn lead<Fut>(
        &mut self,
        entry: Entry<'a, K, V, E>,
        work: F,
        cx: &mut Context<'_>,
    ) -> Poll<Landed<V, E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let core = self.core;
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let work = work();
            let mut future: BoxFuture<_> = Box::pin(async move {
                work.await
                    .map_err(|error| FlightError::Failed(Arc::new(error)))
            });
            match future.as_mut().poll(cx) {
                Poll::Ready(outcome) => Ok((outcome, future)),
                Poll::Pending => Err(FirstPoll {
                    future,
                    waker: cx.waker().clone(),
                    now: core.clock.monotonic(),
                }),
            }
        }));
        match begun {
            Ok(Err(pending)) => {
                self.member = entry.share(pending);
                debug!(name = core.name, "flight started");
                Poll::Pending
            }
            Ok(Ok((outcome, _future))) => entry.land_first(outcome),
            Err(payload) => entry.land_first(Outcome::panicked(panic_message(&*payload))),
        }
    }
}

impl<K, V, E, F, Fut> Future for Join<'_, K, V, E, F>
where
    K: Hash + Eq,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    type Output = Landed<V, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some((key, work)) = self.call.take() {
            return self.start(key, work, cx);
        }
        match &self.member {
            Some(member) => member.drive(cx),
            None => Poll::Pending,
        }
    }
}

/// Joins the flight in this place, unless it is its own first poll that asks.
fn join<'a, K, V: Clone, E>(
    core: &'a Arc<Core<K, V, E>>,
    flights: &mut Flights<K, V, E>,
    shard: usize,
    index: usize,
) -> Option<Member<Entry<'a, K, V, E>>> {
    let flying = flights.table.get_mut(index)?;
    if let Flying::Alone(leader) = *flying {
        if leader == rt::thread_id() {
            return None;
        }
        *flying = Flying::Shared(Shared::new(Flight::led_by(leader), None));
    }
    let Flying::Shared(shared) = flying else {
        return None;
    };
    let member = Member::join(Entry::new(core, shard, index), &shared.flight);
    flights.totals.joined += 1;
    Some(member)
}
