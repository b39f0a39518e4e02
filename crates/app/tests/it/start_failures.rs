//! What keeps `serve` from starting: each ends it with 1, names what it is, and says what to do.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use sqlx::{Connection as _, SqliteConnection};
use steadfast_testkit::{PrivatePostgres, server_or_skip};
use tokio::process::Command;

use crate::{
    process::steadfast,
    start_up::{output, serve},
};

/// A data folder whose database is up to date.
async fn migrated() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let mut migrate = steadfast(&["migrate"]);
    migrate.env("STEADFAST_DATA_DIR", data.path());
    let (code, text) = output(migrate).await;
    assert_eq!(code, Some(0), "{text}");
    data
}

async fn change(data: &Path, sql: &'static str) {
    let url = format!("sqlite://{}", data.join("steadfast.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let done = sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    connection.close().await.unwrap();
}

async fn fails(command: Command, parts: &[&str]) {
    let (code, text) = output(command).await;
    assert_eq!(code, Some(1), "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
}

#[tokio::test]
async fn newer_schema_is_refused_and_says_to_run_the_newer_program() {
    let data = migrated().await;
    let newer = "INSERT INTO steadfast_migration SELECT \"crate\", 999, checksum, applied_at
                 FROM steadfast_migration WHERE \"crate\" = 'accounts'";
    change(data.path(), newer).await;
    let parts = ["`database`", "accounts 999", "run the newer program"];
    fails(serve(data.path()), &parts).await;
}

#[tokio::test]
async fn migration_that_was_changed_is_refused_and_says_to_restore_it() {
    let data = migrated().await;
    let changed = "UPDATE steadfast_migration SET checksum = 'other'
                   WHERE \"crate\" = 'privacy' AND version = 1";
    change(data.path(), changed).await;
    let parts = ["privacy 1", "checksum other", "restore its SQL"];
    fails(serve(data.path()), &parts).await;
}

#[tokio::test]
async fn damaged_database_and_no_database_are_told_apart() {
    let data = migrated().await;
    let path = data.path().join("steadfast.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind the header, which still says that it is a database.
    bytes[100..4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let name = path.to_str().unwrap();
    fails(serve(data.path()), &[name, "corrupt", "restore a backup"]).await;

    std::fs::write(&path, "a letter to a friend ".repeat(500)).unwrap();
    fails(serve(data.path()), &[name, "is not a SQLite database"]).await;
}

#[tokio::test]
async fn folder_that_nobody_may_write_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| {
        use std::os::unix::fs::MetadataExt as _;
        process.uid() == 0
    });
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // Nothing is forbidden to root, so somebody else starts it, with a binary within reach.
    let binary = parent.path().join("steadfast");
    std::fs::copy(env!("CARGO_BIN_EXE_steadfast"), &binary).unwrap();
    mode(&binary, 0o755);
    mode(parent.path(), 0o555);
    let data = parent.path().join("data");
    let mut command = Command::new(&binary);
    command
        .arg("serve")
        .env_clear()
        .env("STEADFAST_LISTEN", "127.0.0.1:0")
        .env("STEADFAST_ADMIN_LISTEN", "127.0.0.1:0")
        .env("STEADFAST_DATA_DIR", &data);
    if is_root {
        command.uid(65_534).gid(65_534);
    }
    let parts = [data.to_str().unwrap(), "cannot make", "Permission denied"];
    fails(command, &parts).await;
    mode(parent.path(), 0o755);
}

#[tokio::test]
async fn missing_postgres_database_and_wrong_password_are_told_at_once() {
    let Some(postgres) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let serve_on = |url: &str| {
        let mut command = serve(data.path());
        command.env("STEADFAST_DATABASE_URL", url);
        command
    };
    let missing = postgres.database_url("nosuch");
    let parts = [
        "`database`",
        "postgres at 127.0.0.1",
        "\"nosuch\" does not exist",
    ];
    fails(serve_on(&missing), &parts).await;

    let access = postgres.directory().join("data/pg_hba.conf");
    assert!(access.exists());
    std::fs::write(&access, "host all all all scram-sha-256\n").unwrap();
    let pid = postgres.pid().unwrap().to_string();
    let told = Command::new("kill").args(["-HUP", &pid]).status().await;
    assert!(told.unwrap().success());
    let url = postgres.url().replacen("@", ":hunter2@", 1);
    // The server takes the change in on its own time.
    for _ in 0..50 {
        let (code, text) = output(serve_on(&url)).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        if text.contains("password authentication failed for user") {
            return;
        }
    }
    panic!("the server never asked for a password");
}
