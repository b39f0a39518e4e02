//! Sixteen processes at once on one new database, one of them killed by SIGKILL: in each of the
//! rounds a little later than in the one before, so that the kill comes at every stage.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use sqlx::{PgPool, SqlitePool};
use steadfast_db_init::{Database, PostgresBackend, PostgresOptions};
use steadfast_testkit::{PrivatePostgres, server_or_skip};

use crate::{NOTES, set, sqlite};

/// In the environment of a process of the crowd: the file or the URL of the database.
const TARGET: &str = "STEADFAST_DB_INIT_TARGET";
const PROCESSES: usize = 16;
const ROUNDS: u32 = 50;
/// How much later the kill comes in each round.
const STEP: Duration = Duration::from_millis(2);

#[tokio::test]
async fn crowd_migrates_a_new_sqlite_file_exactly_once_though_one_of_it_is_killed() {
    if let Ok(file) = std::env::var(TARGET) {
        return wait_and(async {
            let database = sqlite(file.as_ref(), "notes", NOTES);
            let pools = database.initialize().await.unwrap();
            assert_eq!(notes_in_sqlite(&pools.reader).await, 1);
        })
        .await;
    }
    let name = "crowd::crowd_migrates_a_new_sqlite_file_exactly_once_though_one_of_it_is_killed";
    let mut killed = 0;
    for round in 0..ROUNDS {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new.db");
        killed += run_crowd(round, name, file.to_str().unwrap());
        let database = sqlite(&file, "notes", NOTES);
        assert_eq!(database.pending().await.unwrap(), []);
        let pools = database.initialize().await.unwrap();
        assert_eq!(notes_in_sqlite(&pools.reader).await, 1, "round {round}");
        drop(pools);
        assert!(database.close(Duration::from_secs(10)).await.complete);
    }
    enough(killed, ROUNDS as usize);
}

#[tokio::test]
async fn crowd_migrates_a_new_postgres_database_exactly_once_though_one_is_killed_in_even_rounds() {
    let name = "crowd::crowd_migrates_a_new_postgres_database_exactly_once_though_one_is_killed_in_even_rounds";
    postgres_crowds(name, (0..ROUNDS).step_by(2)).await;
}

#[tokio::test]
async fn crowd_migrates_a_new_postgres_database_exactly_once_though_one_is_killed_in_odd_rounds() {
    let name = "crowd::crowd_migrates_a_new_postgres_database_exactly_once_though_one_is_killed_in_odd_rounds";
    postgres_crowds(name, (1..ROUNDS).step_by(2)).await;
}

/// Half of the rounds, as all of them are too long for one test on a busy machine.
async fn postgres_crowds(name: &str, rounds: impl ExactSizeIterator<Item = u32>) {
    if let Ok(url) = std::env::var(TARGET) {
        return wait_and(async {
            let pool = postgres(&url).initialize().await.unwrap();
            assert_eq!(notes_in_postgres(&pool).await, 1);
        })
        .await;
    }
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let (mut killed, count) = (0, rounds.len());
    for round in rounds {
        let url = server.create_database(&format!("round{round}")).await;
        let url = url.unwrap();
        killed += run_crowd(round, name, &url);
        let database = postgres(&url);
        assert_eq!(database.pending().await.unwrap(), []);
        let pool = database.initialize().await.unwrap();
        assert_eq!(notes_in_postgres(&pool).await, 1, "round {round}");
        database.close(Duration::from_secs(10)).await;
    }
    enough(killed, count);
}

/// One round; 1 if the victim was killed before it was done.
fn run_crowd(round: u32, name: &str, target: &str) -> usize {
    let mut crowd: Vec<_> = (0..PROCESSES)
        .map(|_| Member::spawn(name, target))
        .collect();
    crowd.iter_mut().for_each(|member| member.hear("READY"));
    crowd.iter_mut().for_each(Member::let_go);
    std::thread::sleep(STEP * round);
    let mut victim = crowd.swap_remove(round as usize % PROCESSES);
    victim.child.kill().unwrap();
    let was_done = victim.child.wait().unwrap().success();
    for mut member in crowd {
        let said: Vec<_> = member.lines.by_ref().map_while(Result::ok).collect();
        let status = member.child.wait().unwrap();
        assert!(status.success(), "round {round}: {}", said.join("\n"));
    }
    usize::from(!was_done)
}

/// The kill is to hit processes at work, and not only those that are done.
fn enough(killed: usize, rounds: usize) {
    println!("killed at work in {killed} of {rounds} rounds");
    assert!(
        killed >= rounds / 5,
        "killed at work in {killed} rounds only"
    );
}

/// A process of the crowd, ended with the test.
struct Member {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Member {
    /// Runs the test `name` in a process of its own.
    fn spawn(name: &str, target: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(TARGET, target)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn hear(&mut self, word: &str) {
        assert!(self.lines.any(|line| line.unwrap().ends_with(word)));
    }

    fn let_go(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a process of the crowd: works when it is told to.
async fn wait_and(work: impl Future<Output = ()>) {
    println!("READY");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    work.await;
}

fn postgres(url: &str) -> Database<PostgresBackend> {
    let backend = PostgresBackend::new(url, PostgresOptions::default()).unwrap();
    let builder = Database::builder(backend).migrations(set("notes", NOTES));
    builder.max_attempts(1).build().unwrap()
}

async fn notes_in_sqlite(pool: &SqlitePool) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM note");
    count.fetch_one(pool).await.unwrap()
}

async fn notes_in_postgres(pool: &PgPool) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM note");
    count.fetch_one(pool).await.unwrap()
}
