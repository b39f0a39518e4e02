use std::{
    fmt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, RedisError, RetryMethod, Script, ScriptInvocation,
    aio::MultiplexedConnection,
};
use steadfast_clock::{Clock, SystemClock};
use tokio::time::timeout;

use crate::{BackendError, Fencing, Grant, Guarantees, LockBackend, MAX_TTL, Scope};

/// How long a call may take, connecting included, unless it is said otherwise.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// For how long the last fence is remembered after the end of the lease.
const FENCE_KEPT_MILLIS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Keys: the lease, its last fence. Arguments: owner, milliseconds of the lease and of the fence.
///
/// Lua would print a number of this size with an exponent.
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[1]) == 1 then return false end
         local time = redis.call('TIME')
         local last = tonumber(redis.call('GET', KEYS[2]) or 0)
         local fence = math.max(last + 1, time[1] * 1000000 + time[2])
         fence = string.format('%.0f', fence)
         redis.call('SET', KEYS[2], fence, 'PX', ARGV[3])
         redis.call('SET', KEYS[1], fence .. ' ' .. ARGV[1], 'PX', ARGV[2])
         return fence",
    )
});

/// Keys as above. Arguments: the fence, milliseconds of the lease and of the fence.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local held = redis.call('GET', KEYS[1])
         if not held or string.match(held, '^%d+') ~= ARGV[1] then return false end
         redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
         redis.call('PEXPIRE', KEYS[1], ARGV[2])
         return ARGV[1]",
    )
});

/// Keys as above. Argument: the fence.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local held = redis.call('GET', KEYS[1])
         if not held or string.match(held, '^%d+') ~= ARGV[1] then return false end
         redis.call('DEL', KEYS[1])
         return ARGV[1]",
    )
});

/// A [`LockBackend`] in Redis, for all clients of one primary: best effort.
///
/// A lease lives in the key `{steadfast-lease:KEY}`, its last fence in
/// `{steadfast-lease:KEY}:fence`, which have one hash tag. Each operation is one script (`EVALSHA`,
/// and `SCRIPT LOAD` where the server does not know it), so that nothing comes in between. Needs
/// Redis 5 or newer.
///
/// - Best effort: Redis answers before a write is on a disk or a replica. A server that comes back
///   without the lease, after a restart or a failover, grants it a second time while the first
///   holder goes on, until its next renewal tells it; so does one that evicts keys
///   (`maxmemory-policy` must be `noeviction`). Nor can Redis refuse a late write to something
///   else: what is written to has to compare fences.
/// - Fences: one more than the last one, or the server's time in microseconds, whichever is
///   higher. So they grow even over a server that comes back empty, as long as its time of day does
///   not go back behind the last fence. The last fence is kept for seven days after the lease.
/// - Errors: transient are a lost connection, `LOADING`, `BUSY`, `READONLY`, `MASTERDOWN`, `OOM`,
///   `MISCONF`, `NOREPLICAS` and those of a cluster that is being changed; a release needs no
///   memory. All others are permanent, as `NOAUTH`, `WRONGPASS`, `NOPERM` and `WRONGTYPE`; so is
///   before Redis 7 what only a command inside of a script met.
/// - Connection: one, shared, made on the first use and replaced after an error.
/// - Time limits: each call ends within the call timeout, connecting included: 2 s by default. A
///   call that is dropped or given up may still be executed; a lease that nobody knows of expires.
pub struct RedisBackend {
    client: Client,
    call_timeout: Duration,
    connection: Mutex<Option<Arc<MultiplexedConnection>>>,
    /// Held by the one who connects.
    connecting: tokio::sync::Mutex<()>,
}

impl RedisBackend {
    /// A backend on the server of `client`. It connects with the first call.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            call_timeout: CALL_TIMEOUT,
            connection: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Sets how long a call may take, connecting included.
    #[must_use]
    pub fn call_timeout(mut self, call_timeout: Duration) -> Self {
        self.call_timeout = call_timeout;
        self
    }

    /// The answer of a script: a fence, unless it had nothing to do.
    async fn call(
        &self,
        operation: &str,
        script: &ScriptInvocation<'_>,
    ) -> Result<Option<u64>, BackendError> {
        let place = self.client.get_connection_info().addr();
        match timeout(self.call_timeout, self.try_call(script)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => {
                let message = format!("cannot {operation} in Redis at {place}: {source}");
                Err(if is_transient(&source) {
                    BackendError::transient(message)
                } else {
                    BackendError::permanent(message)
                })
            }
            Err(_) => Err(BackendError::transient(format!(
                "cannot {operation} in Redis at {place}: no answer within {:?}",
                self.call_timeout
            ))),
        }
    }

    async fn try_call(&self, script: &ScriptInvocation<'_>) -> Result<Option<u64>, RedisError> {
        let mut used = Use {
            connection: self.connected().await?,
            backend: self,
            is_sound: false,
        };
        let mut connection = MultiplexedConnection::clone(&used.connection);
        let answer = script.invoke_async(&mut connection).await;
        used.is_sound = answer.is_ok();
        answer
    }

    /// The connection; of those who need one at the same time, one makes it.
    async fn connected(&self) -> Result<Arc<MultiplexedConnection>, RedisError> {
        if let Some(connection) = &*self.slot() {
            return Ok(Arc::clone(connection));
        }
        let _one_connects = self.connecting.lock().await;
        if let Some(connection) = &*self.slot() {
            return Ok(Arc::clone(connection));
        }
        // The whole call has a time limit.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let connection = Arc::new(connecting.await?);
        *self.slot() = Some(Arc::clone(&connection));
        Ok(connection)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<MultiplexedConnection>>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way. Where it ends without an answer, by an error, by the time limit or because it
/// is dropped, the next call makes a new connection.
struct Use<'a> {
    backend: &'a RedisBackend,
    connection: Arc<MultiplexedConnection>,
    is_sound: bool,
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        if self.is_sound {
            return;
        }
        let mut slot = self.backend.slot();
        slot.take_if(|current| Arc::ptr_eq(current, &self.connection));
    }
}

impl fmt::Debug for RedisBackend {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("addr", self.client.get_connection_info().addr())
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LockBackend for RedisBackend {
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError> {
        let sent = SystemClock.monotonic();
        let (lease, fence) = keys(key);
        let mut script = ACQUIRE.prepare_invoke();
        script.key(lease).key(fence).arg(owner);
        script.arg(millis(ttl)).arg(millis(ttl) + FENCE_KEPT_MILLIS);
        let fence = self.call("acquire a lease", &script).await?;
        Ok(fence.map(|fence| Grant::new(key, owner, fence, sent, ttl)))
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError> {
        let sent = SystemClock.monotonic();
        let (lease, fence) = keys(&grant.key);
        let mut script = RENEW.prepare_invoke();
        script.key(lease).key(fence).arg(grant.fence);
        script.arg(millis(ttl)).arg(millis(ttl) + FENCE_KEPT_MILLIS);
        let fence = self.call("renew a lease", &script).await?;
        let (key, owner) = (&grant.key, &grant.owner);
        Ok(fence.map(|fence| Grant::new(key.clone(), owner.clone(), fence, sent, ttl)))
    }

    async fn release(&self, grant: &Grant) -> Result<(), BackendError> {
        let (lease, fence) = keys(&grant.key);
        let mut script = RELEASE.prepare_invoke();
        script.key(lease).key(fence).arg(grant.fence);
        self.call("release a lease", &script).await.map(|_| ())
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Scope::Cluster, Fencing::BestEffort)
    }
}

/// The key of the lease and that of its last fence.
fn keys(key: &str) -> (String, String) {
    let lease = format!("{{steadfast-lease:{key}}}");
    let fence = format!("{lease}:fence");
    (lease, fence)
}

/// Rounded up, so that the server never holds a lease for less than its holder thinks.
fn millis(ttl: Duration) -> u64 {
    let millis = ttl.min(MAX_TTL).as_micros().div_ceil(1_000).max(1);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// A lost connection, a server that is starting, failing over or busy with a script, or that is out
/// of memory, disk or replicas.
fn is_transient(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::Parse => false,
        ErrorKind::Io => true,
        _ => {
            let code = error.code().unwrap_or_default();
            matches!(code, "BUSY" | "MISCONF" | "NOREPLICAS" | "NOSCRIPT" | "OOM")
                || !matches!(error.retry_method(), RetryMethod::NoRetry)
        }
    }
}
