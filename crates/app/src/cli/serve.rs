use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use steadfast_clock::SystemClock;
use steadfast_lifecycle::{RunError, Systemd};

use super::ConfigArgs;
use crate::{services, telemetry};

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<u8> {
    let config = args.load()?;
    telemetry::log_to_stderr(&config.log, config.log_format);
    let metrics = telemetry::collect_metrics().context("cannot collect metrics")?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let drain = config.drain;
    let lifecycle = services::compose(config, Arc::new(SystemClock), metrics)?;
    let ended = runtime.block_on(async {
        // Where nobody waits for messages it tells nobody.
        let systemd = Systemd::from_env().context("cannot reach the socket in NOTIFY_SOCKET")?;
        let application = lifecycle.run_until_stopped(drain);
        anyhow::Ok(systemd.during(&lifecycle.handle(), application).await)
    })?;
    // A blocked thread must not keep the process from ending: everything that matters has stopped.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(_) => Ok(0),
        Err(error @ RunError::Killed { .. }) => {
            let code = error.exit_code();
            eprintln!("error: {error}");
            Ok(code)
        }
        Err(error) => Err(error.into()),
    }
}
