use std::{ops::Deref, sync::Arc, time::Duration};

use http::Uri;
use steadfast_clock::Clock;
use steadfast_db_init::Status as DatabaseStatus;
use steadfast_lifecycle::LifecycleHandle;
use steadfast_notifications::{Channels, Notifications, Schedules, UserPreferences};
use steadfast_privacy::{Erasures, Privacy};
use steadfast_scheduler::Scheduler;
use steadfast_ws_hub::{Disconnect, Hub, Limits};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{RequestLimits, Tickets};
use crate::{
    accounts::{Accounts, User},
    adapters::{Guarded, leases::WatchedLeases, personal::PersonalExport},
    alerts::Alerts,
    audit::AuditLog,
};

/// Everything that the handlers of requests work with; clones share it.
#[derive(Clone, Debug)]
pub struct Api(Arc<ApiParts>);

/// What [`Api`] is made of.
#[derive(Debug)]
pub struct ApiParts {
    /// Users, sessions and tokens.
    pub accounts: Arc<Accounts>,
    /// Users' schedules.
    pub schedules: Arc<Schedules>,
    /// Users' notifications.
    pub notifications: Arc<Notifications>,
    /// Users' preferences.
    pub preferences: Arc<UserPreferences>,
    /// Users' channels, and what is delivered to them.
    pub channels: Arc<Channels>,
    /// The leases that this process holds.
    pub leases: WatchedLeases,
    /// Retention and compliance.
    pub privacy: Arc<Privacy>,
    /// Requests for erasure.
    pub erasures: Erasures,
    /// All that is stored about a user.
    pub export: Arc<dyn PersonalExport>,
    /// One permit for each export that may be under way.
    pub exports: Arc<Semaphore>,
    /// The scheduler of the privacy operations.
    pub privacy_jobs: Scheduler,
    /// Who did what.
    pub audit: Arc<dyn AuditLog>,
    /// The connected clients.
    pub hub: Hub,
    /// How the service is.
    pub lifecycle: LifecycleHandle,
    /// What is wrong.
    pub alerts: Alerts,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What kind of database there is.
    pub database_kind: &'static str,
    /// Where its initialisation stands.
    pub database: watch::Receiver<DatabaseStatus>,
    /// Its pools, as the stores use them.
    pub pools: Vec<Arc<dyn Guarded>>,
    /// How many requests each may make.
    pub limits: Arc<RequestLimits>,
    /// Tickets for WebSockets.
    pub tickets: Tickets,
    /// Where to put what goes on after its request was answered.
    pub tasks: TaskTracker,
    /// Tells the tasks to end.
    pub stop: CancellationToken,
    /// Where browsers reach the service, if not at the address that it listens on.
    pub public_url: Option<Uri>,
    /// Whether cookies are sent over TLS only.
    pub secure_cookies: bool,
}

impl Api {
    /// Shares the parts.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Ends what was opened by a credential that is no longer good: every WebSocket of the user
    /// must connect again, which only a good credential can, and open tickets are void.
    ///
    /// The hub does not know the sockets yet whose credential was good when they were opened and
    /// that have not connected: they are ended by a second round, when all of them have.
    pub(super) fn end_connections(&self, user: &User) {
        self.tickets.void(user.id);
        let (hub, user) = (self.hub.clone(), user.id.to_string());
        hub.disconnect(user.as_str(), Disconnect::FORCE_RECONNECT);
        let again = async move {
            tokio::time::sleep(time_to_connect()).await;
            hub.disconnect(user.as_str(), Disconnect::FORCE_RECONNECT);
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(again).await;
        });
    }
}

/// How long after its credential was looked at a socket may become one of the hub's clients.
fn time_to_connect() -> Duration {
    let limits = Limits::default();
    limits.handshake_timeout + limits.connect_timeout + limits.authenticate_timeout
}

impl Deref for Api {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0
    }
}
