//! `sync`: the primitives of `steadfast-sync`.

use crate::{Cases, Measure::Times};

mod breaker;
mod cancel_storm;
mod init_cell;
mod keyed_lock;
mod rate_limiter;
mod retry;
mod semaphore;
mod single_flight;

pub(crate) const CASES: Cases = &[
    (
        "keyed lock and unlock, 1024 keys, one task",
        Times(keyed_lock::alone),
    ),
    (
        "keyed lock and unlock, one key, 8 tasks on 2 workers",
        Times(keyed_lock::one_key),
    ),
    (
        "keyed lock and unlock, 1 key, 64 tasks on 2 workers",
        Times(keyed_lock::keys_1),
    ),
    (
        "keyed lock and unlock, 64 keys, 64 tasks on 2 workers",
        Times(keyed_lock::keys_64),
    ),
    (
        "keyed lock and unlock, 100 000 keys, 64 tasks on 2 workers",
        Times(keyed_lock::keys_100_000),
    ),
    (
        "keyed lock and unlock while other keys are held, one task",
        Times(keyed_lock::held_keys),
    ),
    (
        "cancel storm: 10 000 waiters of one key dropped in random order",
        Times(cancel_storm::peers),
    ),
    (
        "cancel storm: ours, by the number of waiters",
        Times(cancel_storm::linear),
    ),
    (
        "semaphore, acquire and release of one permit, one task",
        Times(semaphore::alone),
    ),
    (
        "semaphore, one permit in all, 8 tasks on 2 workers",
        Times(semaphore::contended),
    ),
    (
        "rate limiter, one unit, let through, one task",
        Times(rate_limiter::direct),
    ),
    (
        "rate limiter, one unit, let through, 2 tasks on 2 workers",
        Times(rate_limiter::direct_contended),
    ),
    (
        "keyed rate limiter, 1024 keys, one unit, let through, one task",
        Times(rate_limiter::keyed),
    ),
    (
        "keyed rate limiter, 1024 keys, 2 tasks on 2 workers",
        Times(rate_limiter::keyed_contended),
    ),
    (
        "keyed rate limiter, by the number of live keys",
        Times(rate_limiter::live_keys),
    ),
    (
        "circuit breaker, closed, failure rate, one task",
        Times(breaker::by_rate),
    ),
    (
        "circuit breaker, closed, failure rate and slow calls, one task",
        Times(breaker::slow_calls),
    ),
    (
        "circuit breaker, closed, failures in a row, one task",
        Times(breaker::in_a_row),
    ),
    (
        "circuit breaker, closed, failure rate, 2 tasks on 2 workers",
        Times(breaker::contended),
    ),
    (
        "single flight, leader alone, work that is ready at once, 1024 keys",
        Times(single_flight::alone),
    ),
    (
        "single flight, eight callers of one key, work that yields once",
        Times(single_flight::joined),
    ),
    ("retry, first attempt succeeds at once", Times(retry::alone)),
    ("init cell, get, ready", Times(init_cell::get)),
    (
        "init cell, get, ready, 2 tasks on 2 workers",
        Times(init_cell::get_contended),
    ),
    ("init cell, cached handle, ready", Times(init_cell::cached)),
];
