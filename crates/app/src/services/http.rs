use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use steadfast_clock::Clock;
use steadfast_db_init::Status as DatabaseStatus;
use steadfast_lifecycle::{
    Health, LifecycleHandle, Service, ServiceError, ServiceSpec, StartContext, StopContext,
};

use tokio::sync::{Semaphore, watch};

use super::{assembly::Assembly, background::Background, listener::Listener, slot::Slot};
use crate::{
    alerts::Alerts,
    config::Config,
    http::{Api, ApiParts, RequestLimits, Tickets, router},
};

/// Exports of personal data under way at a time: each holds a snapshot of the database.
const MAX_EXPORTS: usize = 2;

/// The public listener.
#[derive(Debug)]
pub(super) struct HttpService {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    assembly: Slot<Assembly>,
    database: watch::Receiver<DatabaseStatus>,
    alerts: Alerts,
    listener: Listener,
    after_requests: Background,
}

impl HttpService {
    pub(super) fn new(
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        assembly: Slot<Assembly>,
        database: watch::Receiver<DatabaseStatus>,
        alerts: Alerts,
    ) -> Self {
        Self {
            listener: Listener::new(config.listen),
            after_requests: Background::default(),
            config,
            clock,
            assembly,
            database,
            alerts,
        }
    }

    fn api(&self, lifecycle: LifecycleHandle) -> Result<Api, ServiceError> {
        let assembly = self.assembly.get()?;
        let (tasks, stop) = self.after_requests.open();
        let limits = RequestLimits::new(&self.clock).map_err(ServiceError::permanent)?;
        Ok(Api::new(ApiParts {
            accounts: assembly.accounts.clone(),
            schedules: assembly.schedules.clone(),
            notifications: assembly.notifications.clone(),
            preferences: assembly.preferences.clone(),
            channels: assembly.channels.clone(),
            leases: assembly.leases.clone(),
            privacy: assembly.privacy.clone(),
            erasures: assembly.erasures.clone(),
            export: assembly.export.clone(),
            exports: Arc::new(Semaphore::new(MAX_EXPORTS)),
            privacy_jobs: assembly.privacy_jobs.clone(),
            audit: assembly.audit.clone(),
            hub: assembly.hub.clone(),
            lifecycle,
            alerts: self.alerts.clone(),
            clock: self.clock.clone(),
            database_kind: assembly.database_kind,
            database: self.database.clone(),
            pools: assembly.pools.clone(),
            limits: Arc::new(limits),
            tickets: Tickets::new(self.clock.clone()),
            tasks,
            stop,
            public_url: self.config.public_url.clone(),
            secure_cookies: self.config.is_public_https(),
        }))
    }

    /// Where people reach the service.
    fn url(&self, address: SocketAddr) -> String {
        match &self.config.public_url {
            Some(url) => url.to_string().trim_end_matches('/').to_owned(),
            None => format!("http://{address}"),
        }
    }
}

#[async_trait]
impl Service for HttpService {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("http")
            .requires("hub")
            .requires("scheduler")
            .requires("outbox")
            .wants("deliveries")
            .wants("privacy")
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let accounts = self.assembly.get()?.accounts.clone();
        let must_set_up = accounts
            .open_setup()
            .await
            .map_err(ServiceError::permanent)?;
        let router = router(self.api(cx.lifecycle().clone())?).map_err(ServiceError::permanent)?;
        let address = self.listener.start(router).await?;
        say!("steadfast serves at {}", self.url(address));
        if must_set_up {
            let file = self.config.setup_token_file();
            say!(
                "set it up there, with the one-time token in {}",
                file.display()
            );
        }
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        self.listener.stop().await;
        self.after_requests.end().await;
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}
