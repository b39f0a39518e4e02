use std::sync::Arc;

use sqlx::PgPool;
use steadfast_clock::Clock;
use steadfast_db_init::SqlitePools;
use steadfast_lease::{
    LockBackend, PostgresBackend as PostgresLeases, SqliteBackend as SqliteLeases,
};
use steadfast_notifications::{
    ChannelStore, DeliveryStore, NotificationStore, OutboxStore, PreferenceStore, ScheduleStore,
};
use steadfast_privacy::{
    ErasureStore, PersonalData, PolicySnapshot, PolicyStore, RetentionStore, RunLog,
};
use steadfast_scheduler::{JobStore, PostgresJobStore, SqliteJobStore};

use crate::{
    accounts::AccountStore,
    adapters::{
        Expiry, Guarded, GuardedJobStore, GuardedPool,
        personal::PersonalExport,
        postgres::{
            PostgresAccountStore, PostgresAuditStore, PostgresChannelStore, PostgresErasureStore,
            PostgresNotificationStore, PostgresPersonalStore, PostgresPreferenceStore,
            PostgresPrivacyStore, PostgresScheduleStore,
        },
        sqlite::{
            SqliteAccountStore, SqliteAuditStore, SqliteChannelStore, SqliteErasureStore,
            SqliteNotificationStore, SqlitePersonalStore, SqlitePreferenceStore,
            SqlitePrivacyStore, SqliteScheduleStore,
        },
    },
    audit::AuditLog,
};

/// Everything that is stored on one opening of the database, behind its ports.
pub(super) struct Stores {
    /// What kind of database it is.
    pub(super) kind: &'static str,
    /// The ways to it.
    pub(super) pools: Vec<Arc<dyn Guarded>>,
    pub(super) accounts: Arc<dyn AccountStore>,
    pub(super) schedules: Arc<dyn ScheduleStore>,
    pub(super) notifications: Arc<dyn NotificationStore>,
    pub(super) outbox: Arc<dyn OutboxStore>,
    pub(super) preferences: Arc<dyn PreferenceStore>,
    pub(super) channels: Arc<dyn ChannelStore>,
    pub(super) deliveries: Arc<dyn DeliveryStore>,
    pub(super) retention: Arc<dyn RetentionStore>,
    pub(super) runs: Arc<dyn RunLog>,
    pub(super) erasures: Arc<dyn ErasureStore>,
    pub(super) personal: Arc<dyn PersonalData>,
    pub(super) export: Arc<dyn PersonalExport>,
    pub(super) policies: Arc<dyn PolicyStore>,
    /// What the stores hide by; to be kept up to date.
    pub(super) snapshot: PolicySnapshot,
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) jobs: Arc<dyn JobStore>,
    /// In the database, so that the operations of another process on it are kept out too.
    pub(super) leases: Arc<dyn LockBackend>,
}

impl Stores {
    pub(super) fn sqlite(pools: &SqlitePools, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let (reader, writer) = GuardedPool::pair(pools, clock)?;
        let snapshot = PolicySnapshot::default();
        let expiry = Expiry::new(snapshot.clone(), clock.clone());
        let both = || (reader.clone(), writer.clone());
        let (read, write) = both();
        let notifications =
            Arc::new(SqliteNotificationStore::new(read, write).hiding(expiry.clone()));
        let (read, write) = both();
        let channels = Arc::new(SqliteChannelStore::new(read, write));
        let (read, write) = both();
        let privacy = Arc::new(SqlitePrivacyStore::new(read, write).hiding(expiry.clone()));
        let (read, write) = both();
        let audit = Arc::new(SqliteAuditStore::new(read, write).hiding(expiry));
        let (read, write) = both();
        let preferences = Arc::new(SqlitePreferenceStore::new(read, write));
        let (read, write) = both();
        let accounts = Arc::new(SqliteAccountStore::new(read, write));
        let (read, write) = both();
        let schedules = Arc::new(SqliteScheduleStore::new(read, write));
        let (read, write) = both();
        let erasures = Arc::new(SqliteErasureStore::new(read, write));
        let (read, write) = both();
        let personal = Arc::new(SqlitePersonalStore::new(read, write));
        let (read, write) = both();
        let jobs = GuardedJobStore::new(read, write, SqliteJobStore::new);
        Ok(Self {
            kind: "sqlite",
            pools: vec![Arc::new(reader), Arc::new(writer)],
            accounts,
            schedules,
            notifications: notifications.clone(),
            outbox: notifications,
            preferences,
            channels: channels.clone(),
            deliveries: channels,
            retention: privacy.clone(),
            runs: privacy,
            erasures,
            personal: personal.clone(),
            export: personal,
            policies: audit.clone(),
            snapshot,
            audit,
            jobs: Arc::new(jobs),
            leases: Arc::new(SqliteLeases::new(pools.writer.clone())),
        })
    }

    pub(super) fn postgres(pool: &PgPool, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let guarded = GuardedPool::one(pool, clock)?;
        let channels = Arc::new(PostgresChannelStore::new(guarded.clone()));
        let personal = Arc::new(PostgresPersonalStore::new(guarded.clone()));
        let snapshot = PolicySnapshot::default();
        let expiry = Expiry::new(snapshot.clone(), clock.clone());
        let notifications = PostgresNotificationStore::new(guarded.clone());
        let notifications = Arc::new(notifications.hiding(expiry.clone()));
        let privacy = PostgresPrivacyStore::new(guarded.clone()).hiding(expiry.clone());
        let privacy = Arc::new(privacy);
        let audit = Arc::new(PostgresAuditStore::new(guarded.clone()).hiding(expiry));
        let jobs = GuardedJobStore::new(guarded.clone(), guarded.clone(), PostgresJobStore::new);
        Ok(Self {
            kind: "postgres",
            pools: vec![Arc::new(guarded.clone())],
            accounts: Arc::new(PostgresAccountStore::new(guarded.clone())),
            schedules: Arc::new(PostgresScheduleStore::new(guarded.clone())),
            notifications: notifications.clone(),
            outbox: notifications,
            preferences: Arc::new(PostgresPreferenceStore::new(guarded.clone())),
            channels: channels.clone(),
            deliveries: channels,
            retention: privacy.clone(),
            runs: privacy,
            erasures: Arc::new(PostgresErasureStore::new(guarded.clone())),
            personal: personal.clone(),
            export: personal,
            policies: audit.clone(),
            snapshot,
            audit,
            jobs: Arc::new(jobs),
            leases: Arc::new(PostgresLeases::new(pool.clone())),
        })
    }
}
