//! A socket of the test plays systemd.

use std::{os::unix::net, path::PathBuf, process, time::Duration};

use steadfast_lifecycle::{Health, ServiceSpec, Status, Systemd, test_util::Step};
use tokio::{net::UnixDatagram, time::sleep};

use crate::support::{App, MS, SEC, app, web_app};

struct Manager {
    /// Asked directly, for tokio's socket knows of a message only once the runtime has looked.
    socket: net::UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn listen(name: &str) -> Self {
        let file = format!("steadfast-lifecycle-{}-{name}.sock", process::id());
        let path = std::env::temp_dir().join(file);
        let socket = net::UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("a setting");
        Self { socket, path }
    }

    fn systemd(&self, watchdog: Option<Duration>) -> Systemd {
        Systemd::connect(&self.path, watchdog).expect("the socket is there")
    }

    /// Everything that has arrived.
    fn heard(&self) -> Vec<String> {
        let mut messages = Vec::new();
        let mut buffer = [0; 64];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            messages.push(String::from_utf8(buffer[..length].to_vec()).expect("text"));
        }
        messages
    }

    async fn next(&self) -> String {
        let mut buffer = [0; 64];
        let socket = self.socket.try_clone().expect("a descriptor");
        let socket = UnixDatagram::from_std(socket).expect("a socket");
        let length = socket.recv(&mut buffer).await.expect("a message");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn start_and_stop(app: &App) {
    app.lifecycle.start().await.expect("all work");
    sleep(SEC).await;
    app.lifecycle.stop().await.expect("all work");
}

#[tokio::test]
async fn ready_comes_when_all_is_up_and_stopping_when_the_drain_begins() {
    let manager = Manager::listen("drain");
    let app = app([ServiceSpec::new("a")]);
    let (_, mut signals) = steadfast_lifecycle::test_util::ManualSignals::new();
    let handle = app.lifecycle.handle();
    let application = app.lifecycle.run_until_stopped_by(&mut signals, 20 * MS);
    let systemd = manager.systemd(None);
    let watcher = async {
        assert_eq!(manager.next().await, "READY=1");
        assert!(handle.snapshot().is_ready());
        handle.request_stop();
        assert_eq!(manager.next().await, "STOPPING=1");
        assert_eq!(handle.snapshot().status, Status::Draining);
    };
    let (outcome, ()) = tokio::join!(systemd.during(&handle, application), watcher);
    assert!(outcome.unwrap().is_clean());
    assert_eq!(manager.heard(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_before_the_start_is_complete_and_each_run_is_told_once() {
    let manager = Manager::listen("runs");
    let app = web_app();
    app.service("database").set_start(Step::After(SEC));
    let handle = app.lifecycle.handle();
    let application = async {
        sleep(SEC).await;
        let (outcome, heard) = tokio::join!(app.lifecycle.start(), async {
            sleep(SEC / 2).await;
            manager.heard()
        });
        outcome.unwrap();
        assert_eq!(heard, [""; 0]);
        sleep(20 * SEC).await;
        assert_eq!(manager.heard(), ["READY=1"]);
        app.lifecycle.stop().await.unwrap();
        sleep(SEC).await;
        assert_eq!(manager.heard(), ["STOPPING=1"]);
        start_and_stop(&app).await;
    };
    manager.systemd(None).during(&handle, application).await;
    assert_eq!(manager.heard(), ["READY=1", "STOPPING=1"]);
}

#[tokio::test(start_paused = true)]
async fn stop_that_ends_with_the_application_is_told() {
    let manager = Manager::listen("end");
    let app = web_app();
    let handle = app.lifecycle.handle();
    manager
        .systemd(None)
        .during(&handle, start_and_stop(&app))
        .await;
    assert_eq!(manager.heard(), ["READY=1", "STOPPING=1"]);
}

#[tokio::test(start_paused = true)]
async fn failed_start_is_never_ready() {
    let manager = Manager::listen("failed");
    let app = web_app();
    app.service("http").set_start(Step::Fail);
    let handle = app.lifecycle.handle();
    let application = app.lifecycle.start();
    let outcome = manager.systemd(None).during(&handle, application).await;
    outcome.unwrap_err();
    assert!(!manager.heard().contains(&"READY=1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn watchdog_is_told_at_half_its_time_and_only_while_not_unhealthy() {
    let manager = Manager::listen("watchdog");
    let app = web_app();
    let handle = app.lifecycle.handle();
    let application = async {
        app.lifecycle.start().await.unwrap();
        sleep(MS).await;
        assert_eq!(manager.heard(), ["WATCHDOG=1", "READY=1"]);
        sleep(10 * SEC).await;
        assert_eq!(manager.heard(), ["WATCHDOG=1"; 10]);

        app.service("database")
            .set_health(Health::unhealthy("gone"));
        app.until(|now| now.status == Status::Unhealthy).await;
        manager.heard();
        sleep(4 * SEC).await;
        assert_eq!(manager.heard(), [""; 0]);

        app.service("database").set_health(Health::healthy());
        app.until(|now| now.status == Status::Running).await;
        sleep(MS).await;
        assert_eq!(manager.heard(), ["WATCHDOG=1"], "at once");
        app.lifecycle.stop().await.unwrap();
    };
    let systemd = manager.systemd(Some(2 * SEC));
    systemd.during(&handle, application).await;
    assert_eq!(manager.heard(), ["STOPPING=1"]);
}

#[tokio::test(start_paused = true)]
async fn manager_that_is_gone_does_not_stop_the_application() {
    let manager = Manager::listen("gone");
    let systemd = manager.systemd(Some(SEC));
    drop(manager);
    let app = web_app();
    let handle = app.lifecycle.handle();
    systemd.during(&handle, start_and_stop(&app)).await;
    assert_eq!(handle.snapshot().status, Status::Stopped);
}

#[tokio::test]
async fn socket_that_is_not_there_is_an_error() {
    assert!(Systemd::connect("/nowhere/notify.sock", None).is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn leading_at_sign_names_an_abstract_socket() {
    use std::os::linux::net::SocketAddrExt;

    let name = format!("steadfast-lifecycle-{}", process::id());
    let address = net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = net::UnixDatagram::bind_addr(&address).unwrap();
    let app = app([ServiceSpec::new("a")]);
    let systemd = Systemd::connect(format!("@{name}"), None).unwrap();
    let application = app.lifecycle.start();
    systemd
        .during(&app.lifecycle.handle(), application)
        .await
        .unwrap();
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
}
