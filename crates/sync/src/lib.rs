//! Race-free async primitives: keyed lock, semaphore, rate limiter, circuit breaker, retry, initialisation cell.
