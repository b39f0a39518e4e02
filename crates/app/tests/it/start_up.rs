use std::process::Output;

use tokio::{net::TcpListener, process::Command};

use crate::{
    client::Client,
    process::{PATIENCE, Server, steadfast},
};

pub(crate) async fn output(mut command: Command) -> (Option<i32>, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("it hangs").unwrap();
    let text = [stdout, stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat();
    (status.code(), text)
}

pub(crate) fn serve(data: &std::path::Path) -> Command {
    let mut command = steadfast(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env("STEADFAST_ADMIN_LISTEN", "127.0.0.1:0")
        .env("STEADFAST_DATA_DIR", data)
        .env("STEADFAST_LOG", "info");
    command
}

#[tokio::test]
async fn unreachable_postgres_ends_with_1_and_names_host_and_cause() {
    let data = tempfile::tempdir().unwrap();
    // Bound, then closed again: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut command = serve(data.path());
    command
        .env(
            "STEADFAST_DATABASE_URL",
            format!("postgres://ann:hunter2@127.0.0.1:{port}/x"),
        )
        .env("STEADFAST_START_TIMEOUT", "5s");
    let (code, text) = output(command).await;
    assert_eq!(code, Some(1), "{text}");
    for part in ["`database`", &format!("127.0.0.1:{port}"), "refused"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn wrong_configuration_ends_with_2_and_names_it() {
    let data = tempfile::tempdir().unwrap();
    for (variable, value, part) in [
        ("STEADFAST_LISTEN", "everywhere", "STEADFAST_LISTEN"),
        ("STEADFAST_DRAIN", "soon", "STEADFAST_DRAIN"),
        ("STEADFAST_DATABASE_URL", "mysql://localhost", "`mysql`"),
        ("STEADFAST_REDIS_URL", "redis://localhost", "redis_url"),
        (
            "STEADFAST_CONFIG",
            "/nonexistent/steadfast.toml",
            "/nonexistent/steadfast.toml",
        ),
    ] {
        let mut command = steadfast(&["serve"]);
        command
            .env("STEADFAST_DATA_DIR", data.path())
            .env(variable, value);
        let (code, text) = output(command).await;
        assert_eq!(code, Some(2), "{variable}: {text}");
        assert!(text.contains(part), "{variable}: {text}");
    }
    assert_eq!(output(steadfast(&["serve", "--nosuch"])).await.0, Some(2));
}

#[tokio::test]
async fn taken_port_rolls_back_and_names_the_service() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = serve(data.path());
    command.args(["--listen", &address]);
    let (code, text) = output(command).await;
    assert_eq!(code, Some(2), "a flag twice is wrong usage: {text}");

    let mut command = steadfast(&[
        "serve",
        "--listen",
        &address,
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    command.env("STEADFAST_DATA_DIR", data.path());
    let (code, text) = output(command).await;
    assert_eq!(code, Some(1), "{text}");
    for part in ["`http`", &address, "rolled back", "`database` stopped"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn data_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (code, text) = output(serve(&file.path().join("data"))).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(file.path().to_str().unwrap()), "{text}");
}

#[tokio::test]
async fn second_process_on_one_data_folder_is_refused() {
    let server = Server::start().await;
    let token = std::fs::read_to_string(server.setup_token_file()).unwrap();
    let (code, text) = output(serve(server.data())).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("another process holds"), "{text}");
    // The first one has lost nothing.
    assert_eq!(
        std::fs::read_to_string(server.setup_token_file()).unwrap(),
        token
    );
    Client::admin(&server).await;
}

#[tokio::test]
async fn database_that_was_taken_away_is_told_by_the_probe() {
    let server = Server::start().await;
    let nobody = Client::nobody(&server);
    let database = server.data().join("steadfast.db");
    let until = async |status: u16| loop {
        let answer = nobody.get("/readyz").await;
        if answer.status.as_u16() == status {
            return answer.body;
        }
    };
    let aside = server.data().join("aside.db");
    std::fs::rename(&database, &aside).unwrap();
    let body = tokio::time::timeout(PATIENCE, until(503)).await.unwrap();
    let part = &body["services"][1];
    assert_eq!(part["name"], "database");
    assert!(
        part["detail"].as_str().unwrap().contains("steadfast.db"),
        "{body}"
    );

    std::fs::copy(&aside, &database).unwrap();
    nobody.get("/readyz").await.expect(503);
    std::fs::rename(&aside, &database).unwrap();
    tokio::time::timeout(PATIENCE, until(200)).await.unwrap();
}

#[tokio::test]
async fn probes_answer_on_both_listeners_and_metrics_on_the_admin_one() {
    let server = Server::start().await;
    let public = Client::nobody(&server);
    let admin = async |path: &str| {
        let response = reqwest::get(format!("{}{path}", server.admin_url))
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    public.get("/livez").await.expect(200);
    assert_eq!(admin("/livez").await.0, 200);
    let ready = public.get("/readyz").await.expect(200);
    assert_eq!(ready["status"], "running");
    let names: Vec<_> = ready["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "admin",
            "database",
            "hub",
            "scheduler",
            "outbox",
            "deliveries",
            "privacy",
            "http"
        ]
    );
    assert_eq!(admin("/readyz").await.0, 200);
    let (status, metrics) = admin("/metrics").await;
    assert_eq!(status, 200);
    assert!(
        metrics.contains("steadfast_service_up{service=\"database\"} 1"),
        "{metrics}"
    );
    public.get("/metrics").await.expect(404);

    // Nobody can make series up.
    for method in ["MADE", "UP"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        crate::client::answer(public.request(method, "/livez")).await;
    }
    let (_, metrics) = admin("/metrics").await;
    assert!(
        metrics.contains("method=\"other\"") && !metrics.contains("MADE"),
        "{metrics}"
    );
}

#[tokio::test]
async fn page_is_served_with_a_policy_and_missing_assets_are_not_the_page() {
    let server = Server::start().await;
    let nobody = Client::nobody(&server);
    let page = nobody
        .request(reqwest::Method::GET, "/")
        .header("accept", "text/html");
    let page = crate::client::answer(page).await;
    assert_eq!(page.status.as_u16(), 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(
        page.body.as_str().unwrap().contains("<script"),
        "{}",
        page.body
    );
    nobody.get("/assets/nosuch.js").await.expect(404);
}

#[tokio::test]
async fn migrate_check_changes_nothing_and_migrate_is_done_once() {
    let data = tempfile::tempdir().unwrap();
    let database = data.path().join("steadfast.db");
    let run = async |arguments: &[&str]| {
        let mut command = steadfast(arguments);
        command.env("STEADFAST_DATA_DIR", data.path());
        output(command).await
    };
    let (code, text) = run(&["migrate", "--check"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("pending: accounts 1"), "{text}");
    assert!(!database.exists());
    assert_eq!(run(&["migrate"]).await.0, Some(0));
    assert_eq!(run(&["migrate", "--check"]).await.0, Some(0));
}

#[tokio::test]
async fn config_verbs_check_print_and_show_an_example() {
    let (code, text) = output(steadfast(&["config", "check"])).await;
    assert_eq!((code, text.trim()), (Some(0), "the configuration is valid"));
    let mut print = steadfast(&["config", "print", "--drain", "9s"]);
    print.env(
        "STEADFAST_DATABASE_URL",
        "postgres://ann:hunter2@localhost/x",
    );
    let (_, text) = output(print).await;
    assert!(text.contains("drain = \"9s\"  # --drain"), "{text}");
    assert!(
        text.contains("# STEADFAST_DATABASE_URL") && !text.contains("hunter2"),
        "{text}"
    );
    let (_, text) = output(steadfast(&["config", "example"])).await;
    assert!(text.contains("# listen = \"127.0.0.1:8080\""), "{text}");
}
