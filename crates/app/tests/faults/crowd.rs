//! Very many users with a schedule each, made by copying rows in the database.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use steadfast_app::accounts::SecretHash;
use steadfast_testkit::PrivatePostgres;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{client::Client, process::Server};

/// Where the service keeps its rows.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Sqlite,
    Postgres(&'a PrivatePostgres),
}

impl Place<'_> {
    /// `steadfast serve`, saying no more than it must.
    pub(crate) async fn serve(self, data: TempDir) -> Server {
        let quiet = ("STEADFAST_LOG", "warn");
        match self {
            Self::Sqlite => Server::start_with(data, &[quiet]).await,
            Self::Postgres(postgres) => {
                let url = postgres.url();
                let variables = [quiet, ("STEADFAST_DATABASE_URL", &*url)];
                Server::start_with(data, &variables).await
            }
        }
    }
}

/// The service's database, by a way of our own.
enum Rows {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A notification that is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) schedule_id: Uuid,
    pub(crate) seq: i64,
    pub(crate) created_at: Timestamp,
}

type Columns = (Uuid, Uuid, Uuid, i64, i64);

/// Users who have one schedule each, and of whom some have a token.
pub(crate) struct Crowd {
    rows: Rows,
}

impl Crowd {
    /// Makes as many users, of whom each of the numbers `EVERY`, `2 * EVERY` and so on up to
    /// `with_token` of them has a token. An administrator made by the service itself has the rows
    /// that are copied; the service is stopped again.
    pub(crate) async fn gather(
        place: Place<'_>,
        users: usize,
        with_token: usize,
    ) -> (Self, TempDir) {
        let server = place.serve(tempfile::tempdir().unwrap()).await;
        let root = Client::admin(&server).await;
        // It never fires by itself: 29 February, and the tests end before.
        let schedule = json!({"cron": "0 0 29 2 *", "tz": "UTC", "title": "Stand-up"});
        root.post("/api/v1/schedules", schedule).await.expect(201);
        root.by_token(&["notifications:read"]).await;
        let data = server.stop().await;
        let rows = match place {
            Place::Sqlite => {
                let file = data.path().join("steadfast.db");
                let url = format!("sqlite://{}", file.display());
                Rows::Sqlite(SqlitePool::connect(&url).await.unwrap())
            }
            Place::Postgres(postgres) => {
                Rows::Postgres(PgPool::connect(&postgres.url()).await.unwrap())
            }
        };
        let crowd = Self { rows };
        crowd.copy(users, with_token).await;
        (crowd, data)
    }

    async fn copy(&self, users: usize, with_token: usize) {
        let id = |kind| self.id(kind);
        let (user, schedule, token) = (id(USER), id(SCHEDULE), id(TOKEN));
        let key = match self.rows {
            Rows::Sqlite(_) => format!("'{}' || printf('%012x', i)", prefix(SCHEDULE)),
            Rows::Postgres(_) => format!("'{}' || lpad(to_hex(i), 12, '0')", prefix(SCHEDULE)),
        };
        let account = format!("id = {user}, username = 'user-' || i, role = 'user'");
        let schedule = format!("id = {schedule}, user_id = {user}");
        let mut sql = String::from("BEGIN;");
        sql += &self.copies("account", "TRUE", (users, 1), &account);
        sql += &self.copies("schedule", "TRUE", (users, 1), &schedule);
        let jobs = "t.ns = 'notifications'";
        sql += &self.copies("sched_job", jobs, (users, 1), &format!("key = {key}"));
        // The hash must be unique; the right one comes below.
        let hash = match self.rows {
            Rows::Sqlite(_) => token.clone(),
            Rows::Postgres(_) => format!("uuid_send({token})"),
        };
        let api_token = format!("id = {token}, user_id = {user}, hash = {hash}");
        sql += &self.copies("api_token", "TRUE", (with_token, EVERY), &api_token);
        for i in connected(with_token) {
            let hash = SecretHash::of(&secret(i));
            let hash: String = hash.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
            let id = Uuid::parse_str(&format!("{}{i:012x}", prefix(TOKEN))).unwrap();
            sql += &match self.rows {
                Rows::Sqlite(_) => format!(
                    "UPDATE api_token SET hash = x'{hash}' WHERE id = x'{}';",
                    id.simple()
                ),
                Rows::Postgres(_) => {
                    format!("UPDATE api_token SET hash = '\\x{hash}' WHERE id = '{id}';")
                }
            };
        }
        self.run(sql + "COMMIT").await;
    }

    /// Statements that copy the one row of a table, with the changes `set` for each number `i`:
    /// so many multiples of a number.
    fn copies(&self, table: &str, of: &str, (count, every): (usize, usize), set: &str) -> String {
        let numbers = match self.rows {
            Rows::Sqlite(_) => format!(
                "(WITH RECURSIVE n (i) AS
                 (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n)"
            ),
            Rows::Postgres(_) => format!("(SELECT generate_series(1, {count}) AS i)"),
        };
        format!(
            "CREATE TEMP TABLE copy AS SELECT n.i * {every} AS i, t.* FROM {table} AS t, {numbers} AS n
                 WHERE {of};
             UPDATE copy SET {set};
             ALTER TABLE copy DROP COLUMN i;
             INSERT INTO {table} SELECT * FROM copy;
             DROP TABLE copy;"
        )
    }

    /// An expression for the id of the row number `i`.
    fn id(&self, kind: u16) -> String {
        let prefix = prefix(kind);
        match self.rows {
            Rows::Sqlite(_) => {
                format!("unhex('{}' || printf('%012x', i))", prefix.replace('-', ""))
            }
            Rows::Postgres(_) => format!("('{prefix}' || lpad(to_hex(i), 12, '0'))::uuid"),
        }
    }

    /// Makes everybody's schedule due at this instant, and has the running service notice.
    pub(crate) async fn all_due(&self, at: Timestamp, server: &Server) {
        let at = at.as_millisecond();
        self.run(format!(
            "UPDATE sched_job SET next_fire_at = {at}, due_at = {at}
             WHERE ns = 'notifications' AND key LIKE '{}%'",
            prefix(SCHEDULE)
        ))
        .await;
        // On SQLite, which one process has to itself, nobody looks for the changes of others.
        let root = Client::log_in(server, "root").await;
        let schedules = root.get("/api/v1/schedules").await.expect(200);
        let own = schedules["items"][0]["id"].as_str().unwrap();
        let path = format!("/api/v1/schedules/{own}/run");
        root.post(&path, json!({})).await.expect(202);
    }

    /// How many notifications the crowd has for an instant.
    pub(crate) async fn count(&self, at: Timestamp) -> usize {
        let sql = format!(
            "SELECT count(*) FROM notification WHERE scheduled_for = {}",
            at.as_microsecond()
        );
        let sql = AssertSqlSafe(sql);
        let count: i64 = match &self.rows {
            Rows::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
            Rows::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
        };
        count.try_into().unwrap()
    }

    /// The crowd's notifications for an instant.
    pub(crate) async fn stored(&self, at: Timestamp) -> Vec<Stored> {
        let sql = AssertSqlSafe(format!(
            "SELECT id, user_id, schedule_id, seq, created_at FROM notification
             WHERE scheduled_for = {}",
            at.as_microsecond()
        ));
        let rows: Vec<Columns> = match &self.rows {
            Rows::Sqlite(pool) => sqlx::query_as(sql).fetch_all(pool).await.unwrap(),
            Rows::Postgres(pool) => sqlx::query_as(sql).fetch_all(pool).await.unwrap(),
        };
        let stored = |(id, user_id, schedule_id, seq, created_at)| Stored {
            id,
            user_id,
            schedule_id,
            seq,
            created_at: Timestamp::from_microsecond(created_at).unwrap(),
        };
        rows.into_iter().map(stored).collect()
    }

    async fn run(&self, sql: String) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        // On one connection, for the temporary tables.
        match &self.rows {
            Rows::Sqlite(pool) => drop(sql.execute(pool).await.unwrap()),
            Rows::Postgres(pool) => drop(sql.execute(pool).await.unwrap()),
        }
    }
}

/// One in how many users has a token: in no order of theirs are these the first ones.
pub(crate) const EVERY: usize = 10;

const USER: u16 = 0x8000;
const SCHEDULE: u16 = 0x8001;
const TOKEN: u16 = 0x8002;

/// How the ids of the copies begin; the rest is a number from 1.
fn prefix(kind: u16) -> String {
    format!("00000000-0000-7000-{kind:04x}-")
}

/// The numbers of so many users who have a token.
pub(crate) fn connected(users: usize) -> impl Iterator<Item = usize> {
    (1..=users).map(|user| user * EVERY)
}

/// The id of the user of this number.
pub(crate) fn user(number: usize) -> Uuid {
    format!("{}{number:012x}", prefix(USER)).parse().unwrap()
}

/// The API token of the user of this number.
pub(crate) fn secret(number: usize) -> String {
    format!("sf_crowd_{number}")
}
