//! The errors of a real Redis, and whether another attempt may succeed.

use std::{fs, pin::pin, time::Duration};

use redis::{AsyncConnectionConfig, Client, Cmd, aio::MultiplexedConnection};
use steadfast_lease::{BackendError, Grant, LockBackend, RedisBackend};
use steadfast_testkit::{PrivateRedis, RedisBuilder, server_or_skip};
use tokio::{select, task::JoinSet};

use crate::found;

const MINUTE: Duration = Duration::from_secs(60);

struct Redis {
    server: PrivateRedis,
    backend: RedisBackend,
    /// Of the operator.
    connection: MultiplexedConnection,
}

impl Redis {
    async fn start(builder: RedisBuilder) -> Option<Self> {
        let server = server_or_skip(builder.start().await)?;
        let client = Client::open(server.url()).unwrap();
        let connection = connection(&client).await;
        let backend = RedisBackend::new(client).call_timeout(MINUTE);
        Some(Self {
            server,
            backend,
            connection,
        })
    }

    /// Has the operator say something.
    async fn say(&mut self, words: &str) {
        let mut command = Cmd::new();
        for word in words.split(' ') {
            command.arg(word);
        }
        command.exec_async(&mut self.connection).await.unwrap();
    }

    async fn acquire(&self, key: &str) -> Grant {
        let grant = self.backend.try_acquire(key, "a", MINUTE).await;
        grant.unwrap().expect("the lease is free")
    }

    /// The error of an acquisition.
    async fn refusal(&self) -> BackendError {
        let outcome = self.backend.try_acquire("refused", "a", MINUTE).await;
        outcome.expect_err("it is refused")
    }

    /// From when the operator says `ill` until `cure`, calls fail with what the server `says`, and
    /// may be repeated.
    async fn passes(&mut self, says: &str, ill: &str, cure: &str) {
        let held = self.acquire("held").await;
        self.say(ill).await;
        let acquisition = self.refusal().await;
        let renewal = self.backend.renew(&held, MINUTE).await.unwrap_err();
        for error in [acquisition, renewal] {
            assert!(error.to_string().contains(says), "not {says}: {error}");
            assert!(error.is_transient(), "{error}");
        }
        self.say(cure).await;
        let renewed = self.backend.renew(&held, MINUTE).await.unwrap();
        assert_eq!(renewed.expect("it is held").fence, held.fence);
        let granted = self.acquire("refused").await;
        assert!(held.fence < granted.fence);
    }
}

async fn connection(client: &Client) -> MultiplexedConnection {
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(MINUTE));
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    connection.await.unwrap()
}

#[tokio::test]
async fn server_without_memory_is_transient_and_takes_a_release() {
    let Some(mut redis) = Redis::start(PrivateRedis::builder()).await else {
        return;
    };
    let full = "CONFIG SET maxmemory 1";
    let roomy = "CONFIG SET maxmemory 0";
    redis.passes("OOM", full, roomy).await;
    let held = redis.acquire("released").await;
    redis.say(full).await;
    redis.backend.release(&held).await.unwrap();
    redis.say(roomy).await;
    redis.acquire("released").await;
}

#[tokio::test]
async fn replica_of_a_dead_primary_is_transient() {
    for (stale, says) in [("yes", "read only replica"), ("no", "MASTER is down")] {
        let builder = PrivateRedis::builder().setting("replica-serve-stale-data", stale);
        let Some(mut redis) = Redis::start(builder).await else {
            return;
        };
        let demote = "REPLICAOF 127.0.0.1 1";
        redis.passes(says, demote, "REPLICAOF NO ONE").await;
    }
}

#[tokio::test]
async fn primary_without_its_replicas_is_transient() {
    let Some(mut redis) = Redis::start(PrivateRedis::builder()).await else {
        return;
    };
    let alone = "CONFIG SET min-replicas-to-write 1";
    let enough = "CONFIG SET min-replicas-to-write 0";
    redis.passes("NOREPLICAS", alone, enough).await;
}

#[tokio::test]
async fn server_that_cannot_save_is_transient() {
    let builder = PrivateRedis::builder()
        .setting("save", "3600 1000")
        .setting("dbfilename", "folder.rdb");
    let Some(mut redis) = Redis::start(builder).await else {
        return;
    };
    // A file cannot take its place.
    fs::create_dir(redis.server.directory().join("folder.rdb")).unwrap();
    redis.say("BGSAVE").await;
    let mut info = Cmd::new();
    info.arg("INFO").arg("persistence");
    found(async || {
        let text: String = info.query_async(&mut redis.connection).await.unwrap();
        let failed = text.contains("rdb_last_bgsave_status:err");
        failed.then_some(())
    })
    .await;
    let error = redis.refusal().await;
    assert!(error.to_string().contains("MISCONF"), "{error}");
    assert!(error.is_transient(), "{error}");
    let ignore = "CONFIG SET stop-writes-on-bgsave-error no";
    redis.say(ignore).await;
    redis.acquire("refused").await;
}

#[tokio::test]
async fn server_that_is_busy_with_a_script_is_transient() {
    let builder = PrivateRedis::builder().setting("lua-time-limit", "1");
    let Some(mut redis) = Redis::start(builder).await else {
        return;
    };
    redis.acquire("held").await;
    let client = Client::open(redis.server.url()).unwrap();
    let mut endless = connection(&client).await;
    let mut script = JoinSet::new();
    script.spawn(async move {
        let mut eval = Cmd::new();
        eval.arg("EVAL").arg("while true do end").arg(0);
        eval.exec_async(&mut endless).await
    });
    let error = found(async || {
        match redis.backend.try_acquire("held", "b", MINUTE).await {
            // The script has not begun.
            Ok(granted) => {
                assert_eq!(granted, None);
                None
            }
            Err(error) => Some(error),
        }
    })
    .await;
    assert!(error.to_string().contains("BUSY"), "{error}");
    assert!(error.is_transient(), "{error}");
    redis.say("SCRIPT KILL").await;
    script.join_next().await.unwrap().unwrap().unwrap_err();
    redis.acquire("refused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_loads_its_data_is_transient() {
    // A second: a tenth for each key, and a look at its clients every two megabytes.
    let builder = PrivateRedis::builder()
        .setting("rdbcompression", "no")
        .setting("key-load-delay", "100000");
    let Some(mut redis) = Redis::start(builder).await else {
        return;
    };
    let mut fill = Cmd::new();
    fill.arg("EVAL")
        .arg("for i = 1, 12 do redis.call('SET', i, string.rep('x', 2100000)) end");
    fill.arg(0).exec_async(&mut redis.connection).await.unwrap();
    let held = redis.acquire("held").await;
    redis.say("SAVE").await;
    // Once more where it went by between two calls.
    found(async || {
        let mut restart = pin!(redis.server.restart());
        let mut seen = None;
        loop {
            let error = select! {
                restarted = &mut restart => {
                    restarted.unwrap();
                    break seen;
                }
                renewed = redis.backend.renew(&held, MINUTE) => renewed.err(),
            };
            if let Some(error) = error {
                // Also that nobody listens, before and after the one looked for.
                assert!(error.is_transient(), "{error}");
                let loads = error.to_string().contains("loading the dataset");
                seen = seen.or(loads.then_some(()));
            }
        }
    })
    .await;
    let renewed = redis.backend.renew(&held, MINUTE).await.unwrap();
    assert_eq!(renewed.expect("it was saved").fence, held.fence);
}

#[tokio::test]
async fn lack_of_permission_and_a_foreign_key_are_permanent() {
    let Some(mut redis) = Redis::start(PrivateRedis::builder()).await else {
        return;
    };
    redis.say("RPUSH {steadfast-lease:refused}:fence x").await;
    let wrong = redis.refusal().await;
    redis.say("ACL SETUSER default -evalsha").await;
    let forbidden = redis.refusal().await;
    for (error, says) in [(wrong, "WRONGTYPE"), (forbidden, "permission")] {
        assert!(error.to_string().contains(says), "not {says}: {error}");
        assert!(!error.is_transient(), "{error}");
    }
}
