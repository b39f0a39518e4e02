//! A user exports what is stored about them, is erased, and stays erased.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, PgPool, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    client::{Client, PASSWORD},
    postgres::{new_folder, postgres, serve},
    process::{PATIENCE, Server},
};

/// The database under a server.
enum Beneath {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Beneath {
    async fn sqlite(server: &Server) -> Self {
        let options = SqliteConnectOptions::new().filename(server.data().join("steadfast.db"));
        let pool = SqlitePoolOptions::new().connect_with(options.busy_timeout(PATIENCE));
        Self::Sqlite(pool.await.unwrap())
    }

    async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop),
            Self::Postgres(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop),
        }
        .unwrap();
    }

    /// How many rows of a table have `id` in a column.
    async fn count(&self, table: &str, column: &str, id: Uuid) -> i64 {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} = $1");
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(sql).bind(id).fetch_one(pool).await,
            Self::Postgres(pool) => sqlx::query_scalar(sql).bind(id).fetch_one(pool).await,
        }
        .unwrap()
    }

    async fn grace_is_over(&self) {
        self.execute("UPDATE erasure SET due_at = requested_at")
            .await;
    }
}

/// The lines of an export, of which the last one says that it is whole.
async fn export(client: &Client, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/privacy/export{query}");
    let text = client.get(&path).await.expect(200);
    let lines = text.as_str().unwrap().lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(last["end"], true, "{last}");
    let rows = last["rows"].as_object().unwrap().values();
    let rows: u64 = rows.map(|rows| rows.as_u64().unwrap()).sum();
    assert_eq!(rows as usize, lines.len() - 2, "all that was counted");
    lines
}

/// Runs the erasures that are due; again, if the hourly run was at it.
async fn run_erasures(admin: &Client) {
    let ended = async {
        loop {
            let before = last_run(admin).await;
            let asked = json!({"operation": "erasure"});
            let asked = admin.post("/api/v1/privacy/runs", asked).await;
            assert_eq!(asked.status.as_u16(), 202, "{}", asked.body);
            let mut run = last_run(admin).await;
            while run["id"] == before["id"] || run["status"] == "running" {
                tokio::time::sleep(Duration::from_millis(20)).await;
                run = last_run(admin).await;
            }
            if run["status"] != "skipped" {
                assert_eq!(run["status"], "succeeded", "{run}");
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

async fn last_run(admin: &Client) -> Value {
    let runs = admin
        .get("/api/v1/privacy/runs?operation=erasure&limit=1")
        .await;
    runs.expect(200)["items"][0].clone()
}

/// A user with a schedule and a notification.
async fn ann(admin: &Client, server: &Server) -> Client {
    let ann = admin.new_user(server, "ann").await;
    let schedule =
        json!({"cron": "@every 1h", "tz": "UTC", "title": "ann's tick", "misfire": "all"});
    ann.post("/api/v1/schedules", schedule).await.expect(201);
    let note = json!({"user_id": ann.id().await, "title": "for ann", "body": "secret of ann"});
    ann.post("/api/v1/notifications", note).await.expect(201);
    ann
}

async fn erases(server: &Server, beneath: &Beneath) {
    let admin = Client::admin(server).await;
    let ann = ann(&admin, server).await;
    let bob = admin.new_user(server, "bob").await;
    let id = ann.id().await;

    let lines = export(&ann, "").await;
    let text = serde_json::to_string(&lines).unwrap();
    for part in ["ann's tick", "secret of ann", &id] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    for secret in ann.secrets() {
        assert!(!text.contains(&secret));
    }
    assert!(!text.contains("argon2"), "{text}");
    assert_eq!(
        export(&admin, &format!("?user_id={id}")).await.len(),
        lines.len()
    );
    bob.get(&format!("/api/v1/privacy/export?user_id={id}"))
        .await
        .expect(403);

    let path = "/api/v1/privacy/requests";
    let wrong = json!({"kind": "erasure", "password": "not the password"});
    ann.post(path, wrong).await.expect(401);
    let of_ann = json!({"kind": "erasure", "password": PASSWORD, "user_id": id});
    bob.post(path, of_ann).await.expect(403);
    let token = ann.by_token(&["privacy:write"]).await;
    let asked = json!({"kind": "erasure", "password": PASSWORD});
    token.post(path, asked.clone()).await.expect(403);
    admin.post(path, asked.clone()).await.expect(409);

    // Asked for and cancelled; of bob it is no business.
    let taken = ann.post(path, json!({"kind": "erasure"})).await.expect(201);
    assert_eq!(taken["request"]["status"], "pending");
    assert_eq!(taken["export"], "/api/v1/privacy/export");
    ann.post(path, asked.clone()).await.expect(409);
    let one = format!("{path}/{}", taken["request"]["id"].as_str().unwrap());
    bob.get(&one).await.expect(404);
    bob.delete(&one).await.expect(404);
    assert_eq!(bob.get(path).await.expect(200)["items"], json!([]));
    assert_eq!(ann.delete(&one).await.expect(200)["status"], "cancelled");
    ann.delete(&one).await.expect(409);
    run_erasures(&admin).await;
    Client::log_in(server, "ann").await;

    // Asked for, and carried out when the grace is over.
    let taken = ann.post(path, asked).await.expect(201);
    let (mut socket, _) = ann.connect().await;
    beneath.grace_is_over().await;
    run_erasures(&admin).await;
    assert_eq!(socket.close_code().await, Some(3503));
    ann.get("/api/v1/me").await.expect(401);
    token.get("/api/v1/me").await.expect(401);
    let login = json!({"username": "ann", "password": PASSWORD});
    Client::nobody(server)
        .post("/api/v1/auth/login", login)
        .await
        .expect(401);

    let code = json!({"code": taken["code"]});
    let receipt = Client::nobody(server)
        .post("/api/v1/privacy/receipt", code)
        .await;
    let receipt = receipt.expect(200);
    assert_eq!(receipt["status"], "completed");
    assert_eq!(receipt["receipt"]["user_id"], id);
    let tables = receipt["receipt"]["tables"].as_array().unwrap();
    let rows = |table: &str| {
        let found = tables.iter().find(|erased| erased["table"] == table);
        found.map(|erased| erased["rows"].as_u64().unwrap())
    };
    assert_eq!(
        [rows("account"), rows("notification"), rows("schedule")],
        [Some(1); 3]
    );
    assert!(!receipt.to_string().contains("ann"), "{receipt}");
    let unknown = json!({"code": "er_unknown"});
    Client::nobody(server)
        .post("/api/v1/privacy/receipt", unknown)
        .await
        .expect(404);
    assert!(export(&bob, "").await.len() > 3, "bob is there");
    let other = ann_again(&admin, server).await;
    assert_ne!(other, id, "a new user of that name is somebody else");
}

async fn ann_again(admin: &Client, server: &Server) -> String {
    admin.new_user(server, "ann").await.id().await
}

#[tokio::test]
async fn user_exports_is_erased_and_gets_a_receipt() {
    let server = Server::start().await;
    let beneath = Beneath::sqlite(&server).await;
    erases(&server, &beneath).await;
    server.stop().await;
}

#[tokio::test]
async fn user_exports_is_erased_and_gets_a_receipt_on_postgres() {
    let Some(postgres) = postgres().await else {
        return;
    };
    let server = serve(&postgres, new_folder()).await;
    let beneath = Beneath::Postgres(PgPool::connect(&postgres.url()).await.unwrap());
    erases(&server, &beneath).await;
    server.stop().await;
}

#[tokio::test]
async fn restored_backup_is_erased_again_before_anybody_is_let_in() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let ann = ann(&admin, &server).await;
    let id = ann.id().await;
    let beneath = Beneath::sqlite(&server).await;
    let backup = new_folder();
    let copy = backup.path().join("copy.db");
    beneath
        .execute(&format!("VACUUM INTO '{}'", copy.display()))
        .await;
    let asked = json!({"kind": "erasure", "password": PASSWORD});
    ann.post("/api/v1/privacy/requests", asked)
        .await
        .expect(201);
    beneath.grace_is_over().await;
    run_erasures(&admin).await;
    drop(beneath);
    let data = server.stop().await;

    restore(&data, &copy);
    let server = Server::start_in(data).await;
    let beneath = Beneath::sqlite(&server).await;
    for table in ["account", "notification", "schedule", "session"] {
        let column = if table == "account" { "id" } else { "user_id" };
        let left = beneath.count(table, column, id.parse().unwrap()).await;
        assert_eq!(left, 0, "{table}");
    }
    let login = json!({"username": "ann", "password": PASSWORD});
    Client::nobody(&server)
        .post("/api/v1/auth/login", login)
        .await
        .expect(401);
    Client::log_in(&server, "root").await;
    drop(beneath);
    server.stop().await;
}

/// Puts the copy in the place of the database.
fn restore(data: &TempDir, copy: &std::path::Path) {
    let database = data.path().join("steadfast.db");
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", database.display()));
    }
    std::fs::copy(copy, database).unwrap();
}
