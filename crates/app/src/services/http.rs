use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use steadfast_clock::Clock;
use steadfast_lifecycle::{
    Health, LifecycleHandle, Service, ServiceError, ServiceSpec, StartContext, StopContext,
};

use super::{assembly::Assembly, slot::Slot};
use crate::{
    config::Config,
    http::{Api, ApiParts, RequestLimits, Server, Tickets, router},
};

/// How long requests at work get to finish.
const GRACE: Duration = Duration::from_secs(5);

/// The public listener.
#[derive(Debug)]
pub(super) struct HttpService {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    assembly: Slot<Assembly>,
    server: Mutex<Option<Arc<Server>>>,
}

impl HttpService {
    pub(super) fn new(
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        assembly: Slot<Assembly>,
    ) -> Self {
        Self {
            config,
            clock,
            assembly,
            server: Mutex::default(),
        }
    }

    fn api(&self, lifecycle: LifecycleHandle) -> Result<Api, ServiceError> {
        let assembly = self.assembly.get()?;
        let limits = RequestLimits::new(&self.clock).map_err(ServiceError::permanent)?;
        Ok(Api::new(ApiParts {
            accounts: assembly.accounts.clone(),
            schedules: assembly.schedules.clone(),
            notifications: assembly.notifications.clone(),
            privacy: assembly.privacy.clone(),
            privacy_jobs: assembly.privacy_jobs.clone(),
            hub: assembly.hub.clone(),
            lifecycle,
            limits: Arc::new(limits),
            tickets: Tickets::new(self.clock.clone()),
            public_url: self.config.public_url.clone(),
            secure_cookies: self.config.is_public_https(),
        }))
    }

    /// Where people reach the service.
    fn url(&self, server: &Server) -> String {
        match &self.config.public_url {
            Some(url) => url.to_string().trim_end_matches('/').to_owned(),
            None => format!("http://{}", server.address()),
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
            .wants("privacy")
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let accounts = self.assembly.get()?.accounts.clone();
        let must_set_up = accounts
            .open_setup()
            .await
            .map_err(ServiceError::permanent)?;
        let router = router(self.api(cx.lifecycle().clone())?).map_err(ServiceError::permanent)?;
        let listen = self.config.listen;
        let server = Server::start(listen, router).await.map_err(|error| {
            ServiceError::permanent(format!("cannot listen on {listen}: {error}"))
        })?;
        let url = self.url(&server);
        tracing::info!(address = %server.address(), "serving");
        println!("steadfast serves at {url}");
        if must_set_up {
            let file = self.config.setup_token_file();
            println!(
                "set it up there, with the one-time token in {}",
                file.display()
            );
        }
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(server));
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        let server = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(server) = server {
            let cut = server.stop(GRACE).await;
            if cut > 0 {
                tracing::warn!(cut, "requests did not finish in time");
            }
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}
