use crate::ServerError;

/// The server or disk, or `None` where it is not installed or this process may not have it, after
/// one loud line on standard error.
///
/// With `STEADFAST_REQUIRE_SERVERS=1` in the environment that is a failure, so that a CI machine
/// cannot skip unnoticed.
///
/// # Panics
///
/// If the server is installed but did not start, or is missing and required.
#[track_caller]
pub fn server_or_skip<S>(started: Result<S, ServerError>) -> Option<S> {
    let required = std::env::var("STEADFAST_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
    decide(started, required)
}

#[track_caller]
fn decide<S>(started: Result<S, ServerError>, required: bool) -> Option<S> {
    match started {
        Ok(server) => Some(server),
        Err(missing @ (ServerError::Missing { .. } | ServerError::NotPermitted { .. }))
            if !required =>
        {
            eprintln!("SKIPPED: {missing} (STEADFAST_REQUIRE_SERVERS=1 makes this a failure)");
            None
        }
        Err(error) => panic!("no private server: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Result<(), ServerError> {
        Err(ServerError::Missing {
            program: "postgres",
            package: "postgresql",
        })
    }

    #[test]
    fn missing_server_skips() {
        assert_eq!(decide(missing(), false), None);
        assert_eq!(decide(Ok(7), false), Some(7));
        assert!(
            missing()
                .unwrap_err()
                .to_string()
                .ends_with("apt-get install postgresql")
        );
    }

    #[test]
    fn what_is_not_permitted_skips() {
        let refused = Err::<(), _>(ServerError::NotPermitted {
            program: "mount",
            output: String::new(),
        });
        assert_eq!(decide(refused, false), None);
    }

    #[test]
    #[should_panic(expected = "apt-get install postgresql")]
    fn missing_server_that_is_required_fails() {
        decide(missing(), true);
    }

    #[test]
    #[should_panic(expected = "ended before it was ready")]
    fn broken_server_never_skips() {
        let ended = ServerError::Ended {
            program: "postgres",
            log: String::new(),
        };
        decide::<()>(Err(ended), false);
    }
}
