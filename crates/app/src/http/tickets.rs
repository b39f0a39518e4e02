use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast_clock::{Clock, Instant};
use uuid::Uuid;

use crate::accounts::{AccountError, Principal, Secret, SecretHash};

/// How long a ticket is good for.
const VALID: Duration = Duration::from_secs(30);

/// Tickets that may be out at a time.
const MAX_TICKETS: usize = 10_000;

/// Single-use tickets to open a WebSocket with, for clients that can send neither a cookie nor a
/// header: a ticket in a log file or a browser's history is worth nothing.
///
/// They live in memory: a ticket is made by the instance that it is used at.
#[derive(Debug)]
pub struct Tickets {
    clock: Arc<dyn Clock>,
    out: Mutex<HashMap<SecretHash, (Principal, Instant)>>,
}

impl Tickets {
    /// No tickets yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            out: Mutex::default(),
        }
    }

    /// A ticket for somebody; `None`: ten thousand are out already.
    ///
    /// # Errors
    ///
    /// If the operating system has no randomness to give.
    pub fn issue(&self, principal: Principal) -> Result<Option<Secret>, AccountError> {
        let secret = Secret::generate("")?;
        let now = self.clock.monotonic();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.len() >= MAX_TICKETS {
            out.retain(|_, (_, expires)| *expires > now);
        }
        if out.len() >= MAX_TICKETS {
            return Ok(None);
        }
        out.insert(secret.hash(), (principal, now + VALID));
        Ok(Some(secret))
    }

    /// Makes every ticket of a user worthless.
    pub fn void(&self, user: Uuid) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.retain(|_, (principal, _)| principal.user.id != user);
    }

    /// Takes a ticket: of any number of concurrent calls one gets who it is for.
    pub fn redeem(&self, ticket: &str) -> Option<Principal> {
        let hash = SecretHash::of(ticket);
        let taken = self
            .out
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&hash);
        let (principal, expires) = taken?;
        (self.clock.monotonic() < expires).then_some(principal)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use jiff::Timestamp;
    use steadfast_clock::ManualClock;

    use super::*;
    use crate::accounts::{Role, User, Username, Via};

    fn principal() -> Principal {
        Principal {
            user: User {
                id: Uuid::nil(),
                username: Username::parse("ann").unwrap(),
                role: Role::User,
                created_at: Timestamp::UNIX_EPOCH,
            },
            via: Via::Token {
                id: Uuid::nil(),
                scopes: Vec::new(),
                expires_at: None,
            },
        }
    }

    #[test]
    fn ticket_opens_once_and_only_while_it_is_young() {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let tickets = Tickets::new(clock.clone());
        let ticket = tickets.issue(principal()).unwrap().unwrap();
        assert!(tickets.redeem("another").is_none());
        assert!(tickets.redeem(ticket.expose()).is_some());
        assert!(tickets.redeem(ticket.expose()).is_none());

        let void = tickets.issue(principal()).unwrap().unwrap();
        tickets.void(Uuid::nil());
        assert!(tickets.redeem(void.expose()).is_none());

        let late = tickets.issue(principal()).unwrap().unwrap();
        clock.advance(VALID);
        assert!(tickets.redeem(late.expose()).is_none());
    }

    #[test]
    fn tickets_are_bounded_and_old_ones_make_room() {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let tickets = Tickets::new(clock.clone());
        for _ in 0..MAX_TICKETS {
            assert!(tickets.issue(principal()).unwrap().is_some());
        }
        assert!(tickets.issue(principal()).unwrap().is_none());
        clock.advance(VALID);
        assert!(tickets.issue(principal()).unwrap().is_some());
    }
}
