use std::{sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_notifications::{
    Channels, Deliverer, DeliveryLimits, IdSource, Notifications, OutboxRelay, OutboxSignal,
    ScheduleFired, SchedulerJobs, Schedules, UserPreferences, V7Ids,
};
use steadfast_privacy::{Erasures, Privacy};
use steadfast_scheduler::Scheduler;
use steadfast_ws_hub::{Hub, MemoryHistory};

use super::{measured::Measured, stores::Stores};
use crate::{
    accounts::{Accounts, SetupGate},
    adapters::{
        Guarded,
        accounts::AccountUsers,
        hub::{ChannelHistory, HubConnections, HubPush, TokenAuthenticator, TopicAuthorizer},
        leases::WatchedLeases,
        outbound::{AddressGuard, Outbound, SystemSecrets, WebhookSender},
        personal::PersonalExport,
        privacy::PrivacyRuns,
        tombstones::TombstoneFile,
    },
    audit::AuditLog,
    config::Config,
};

/// The namespaces of the two schedulers' jobs.
const NOTIFICATIONS: &str = "notifications";
const PRIVACY: &str = "privacy";

/// How long a run of a privacy operation is taken for alive without a sign. Longer than the lease
/// of the operation itself (30 s): a run that takes over what was cut off must not find it locked.
const PRIVACY_JOB_LEASE: Duration = Duration::from_secs(45);

/// Publications that a topic keeps for clients that were away.
const TOPIC_HISTORY: usize = 100;

/// Everything that is built on one opening of the database: made when it opens, gone when it
/// closes. Nothing in it runs until its service starts it.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) database_kind: &'static str,
    pub(super) pools: Vec<Arc<dyn Guarded>>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) hub: Hub,
    pub(super) notifications: Arc<Notifications>,
    pub(super) preferences: Arc<UserPreferences>,
    pub(super) schedules: Arc<Schedules>,
    pub(super) scheduler: Scheduler,
    pub(super) relay: OutboxRelay,
    pub(super) channels: Arc<Channels>,
    pub(super) deliverer: Deliverer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) leases: WatchedLeases,
    pub(super) privacy: Arc<Privacy>,
    pub(super) erasures: Erasures,
    pub(super) export: Arc<dyn PersonalExport>,
    pub(super) privacy_jobs: Scheduler,
    pub(super) audit: Arc<dyn AuditLog>,
}

impl Assembly {
    /// Joins the crates to each other and to what is stored.
    pub(super) fn new(
        stores: Stores,
        config: &Config,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let ids = new_ids(clock)?;

        let gate = SetupGate::closed(config.setup_token_file(), clock.clone());
        let accounts = Accounts::new(stores.accounts.clone(), clock.clone(), ids.clone(), gate)?;
        let accounts = Arc::new(accounts);

        let store = stores.notifications;
        let topics = MemoryHistory::new(TOPIC_HISTORY).clock(clock.clone());
        let mut hub = Hub::builder()
            .authenticator(Arc::new(TokenAuthenticator::new(accounts.clone())))
            .authorizer(Arc::new(TopicAuthorizer))
            .history(Arc::new(ChannelHistory::new(store.clone(), topics)))
            .clock(clock.clone());
        if let Some(url) = &config.public_url {
            // Behind a proxy the request's own host may be another one.
            hub = hub.allowed_origins([url.to_string().trim_end_matches('/')]);
        }
        let hub = hub.build()?;

        let signal = OutboxSignal::new();
        let users = Arc::new(AccountUsers::new(stores.accounts));
        let notifications = Notifications::new(store, users, ids.clone(), signal.clone())
            .with_preferences(stores.preferences.clone())
            .with_clock(clock.clone());
        let preferences = UserPreferences::new(stores.preferences).with_clock(clock.clone());
        let notifications = Arc::new(notifications);
        let relay =
            OutboxRelay::builder(stores.outbox, Arc::new(HubPush::new(hub.clone())), signal)
                .clock(clock.clone())
                .build()?;

        let guard = AddressGuard::allowing(config.webhook_allow.clone());
        let sender = Arc::new(Outbound::new(WebhookSender::new(guard, clock.clone())?));
        let deliveries = stores.deliveries;
        let delivery_limits = Arc::new(DeliveryLimits::with_clock(clock.clone())?);
        let channels = Channels::new(
            stores.channels,
            deliveries.clone(),
            sender.clone(),
            ids.clone(),
            Arc::new(SystemSecrets),
            delivery_limits.clone(),
        );
        let channels = channels.with_clock(clock.clone());
        let deliverer = Deliverer::builder(deliveries, sender, delivery_limits)
            .clock(clock.clone())
            .build()?;

        let fired = ScheduleFired::new(stores.schedules.clone(), notifications.clone())?;
        let fired = Arc::new(Measured::new(NOTIFICATIONS, fired));
        let scheduler = Scheduler::builder(NOTIFICATIONS, stores.jobs.clone(), fired)
            .clock(clock.clone())
            .build()?;
        let jobs = Arc::new(SchedulerJobs::new(scheduler.clone()));
        let schedules = Schedules::builder(stores.schedules, jobs, ids.clone())
            .clock(clock.clone())
            .min_interval(config.min_interval)
            .build()?;

        let leases = WatchedLeases::new(stores.leases, clock.clone());
        let locks = Arc::new(leases.clone());
        let erasures = Erasures::new(
            stores.erasures,
            stores.personal,
            Arc::new(HubConnections::new(hub.clone())),
            Arc::new(TombstoneFile::new(config.erasure_log())),
        )?;
        let erasures = erasures.clock(clock.clone());
        let privacy = Privacy::builder(stores.retention, stores.runs, stores.policies, locks)
            .snapshot(stores.snapshot)
            .owner(format!("steadfast serve, process {}", std::process::id()))
            .clock(clock.clone())
            .erasures(erasures.clone())
            .build()?;
        let privacy = Arc::new(privacy);
        let runs = Arc::new(Measured::new(PRIVACY, PrivacyRuns::new(privacy.clone())));
        let privacy_jobs = Scheduler::builder(PRIVACY, stores.jobs, runs)
            .lease(PRIVACY_JOB_LEASE)
            .clock(clock.clone())
            .build()?;

        Ok(Self {
            database_kind: stores.kind,
            pools: stores.pools,
            accounts,
            hub,
            notifications,
            preferences: Arc::new(preferences),
            schedules: Arc::new(schedules),
            scheduler,
            relay,
            channels: Arc::new(channels),
            deliverer,
            clock: clock.clone(),
            leases,
            privacy,
            erasures,
            export: stores.export,
            privacy_jobs,
            audit: stores.audit,
        })
    }
}

/// Ids whose random bits are seeded by the operating system.
fn new_ids(clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn IdSource>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(anyhow::Error::new)?;
    Ok(Arc::new(V7Ids::new(clock.clone(), seed)))
}
