use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast_clock::Clock;
use steadfast_sync::{BreakerState, CircuitBreaker};

use crate::BuildError;

/// How many endpoints of users have a breaker of their own at a time.
const MAX_ENDPOINTS: usize = 256;

/// A circuit breaker for each user's endpoint that was used lately.
///
/// When there are too many, the one that was not used for the longest time is forgotten, closed
/// ones first.
#[derive(Debug)]
pub(crate) struct Endpoints {
    clock: Arc<dyn Clock>,
    breakers: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    uses: u64,
    entries: HashMap<String, (Arc<CircuitBreaker>, u64)>,
}

impl Endpoints {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            breakers: Mutex::default(),
        }
    }

    /// The breaker of what a user's endpoint is called.
    ///
    /// # Errors
    ///
    /// Never: its bounds are fixed ones that work.
    pub(crate) fn breaker(&self, endpoint: &str) -> Result<Arc<CircuitBreaker>, BuildError> {
        let mut table = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        table.uses += 1;
        let now = table.uses;
        if let Some((breaker, used)) = table.entries.get_mut(endpoint) {
            *used = now;
            return Ok(breaker.clone());
        }
        table.make_room();
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(5)
            .open_for(Duration::from_secs(30))
            .open_growth(2.0, Duration::from_secs(600))
            .clock(self.clock.clone())
            .build()
            .map_err(|_| BuildError {
                field: "breaker",
                problem: "has bounds that do not work",
            })?;
        let breaker = Arc::new(breaker);
        let entry = (breaker.clone(), now);
        table.entries.insert(endpoint.to_owned(), entry);
        Ok(breaker)
    }
}

impl Table {
    fn make_room(&mut self) {
        if self.entries.len() < MAX_ENDPOINTS {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, (breaker, used))| {
            let is_closed = breaker.state() == BreakerState::Closed;
            (!is_closed, *used)
        });
        if let Some(endpoint) = oldest.map(|(endpoint, _)| endpoint.clone()) {
            self.entries.remove(&endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use steadfast_clock::SystemClock;

    use super::*;

    #[test]
    fn endpoints_that_are_many_forget_the_closed_one_used_longest_ago() {
        let endpoints = Endpoints::new(Arc::new(SystemClock));
        let broken = endpoints.breaker("broken").unwrap();
        for _ in 0..5 {
            broken.try_acquire().unwrap().failure();
        }
        let first = endpoints.breaker("0").unwrap();
        for number in 1..300 {
            endpoints.breaker(&number.to_string()).unwrap();
        }
        let count = endpoints.breakers.lock().unwrap().entries.len();
        assert_eq!(count, MAX_ENDPOINTS);
        assert!(Arc::ptr_eq(&broken, &endpoints.breaker("broken").unwrap()));
        assert!(!Arc::ptr_eq(&first, &endpoints.breaker("0").unwrap()));
    }
}
