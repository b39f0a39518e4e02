use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{StatusCode, header};
use steadfast_clock::ManualClock;
use steadfast_dev_server::{AssetServer, FolderAssets};
use tempfile::TempDir;

use crate::{conformance::write, get, header as field, send};

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    folder
}

fn serve(folder: &TempDir) -> AssetServer {
    AssetServer::new(FolderAssets::open(folder.path()).unwrap())
}

/// A clock to which every file that was just written looks long settled.
fn tomorrow() -> Arc<ManualClock> {
    let modified = TempDir::new().unwrap().path().metadata().unwrap();
    let day = Duration::from_secs(86_400);
    Arc::new(ManualClock::new(modified.modified().unwrap() + day))
}

#[tokio::test]
async fn changed_file_is_served_changed() {
    let folder = folder(&[("a.txt", b"old")]);
    // With and without what keeps a file from the cache while it is young.
    for assets in [
        FolderAssets::open(folder.path()).unwrap(),
        FolderAssets::open(folder.path())
            .unwrap()
            .with_clock(tomorrow()),
    ] {
        let server = AssetServer::new(assets);
        write(folder.path(), "a.txt", b"old");
        assert_eq!(get(&server, "/a.txt", &[]).await.body(), "old");
        // As a deployment does it, and with the same length and time: only the inode differs.
        let modified = folder.path().join("a.txt").metadata().unwrap();
        write(folder.path(), "b.txt", b"new");
        let new = fs::File::open(folder.path().join("b.txt")).unwrap();
        new.set_modified(modified.modified().unwrap()).unwrap();
        fs::rename(folder.path().join("b.txt"), folder.path().join("a.txt")).unwrap();
        assert_eq!(get(&server, "/a.txt", &[]).await.body(), "new");
        fs::remove_file(folder.path().join("a.txt")).unwrap();
        let gone = get(&server, "/a.txt", &[]).await;
        assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn sibling_that_appears_is_served() {
    let folder = folder(&[("a.js", b"plain")]);
    let assets = FolderAssets::open(folder.path()).unwrap();
    let server = AssetServer::new(assets.with_clock(tomorrow()));
    let br = [(header::ACCEPT_ENCODING, "br")];
    assert_eq!(get(&server, "/a.js", &br).await.body(), "plain");
    write(folder.path(), "a.js.br", b"brotli");
    assert_eq!(get(&server, "/a.js", &br).await.body(), "brotli");
}

#[tokio::test]
async fn last_modified_answers_if_modified_since() {
    let folder = folder(&[("a.txt", b"text")]);
    let at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 500_000_000);
    let file = fs::File::open(folder.path().join("a.txt")).unwrap();
    file.set_modified(at).unwrap();
    let server = serve(&folder);
    const MODIFIED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";

    let response = get(&server, "/a.txt", &[]).await;
    assert_eq!(field(&response, header::LAST_MODIFIED), Some(MODIFIED));
    // A tag, where there is one, decides alone.
    for (since, tag, status) in [
        (MODIFIED, None, StatusCode::NOT_MODIFIED),
        (BEFORE, None, StatusCode::OK),
        ("yesterday", None, StatusCode::OK),
        (MODIFIED, Some("\"other\""), StatusCode::OK),
    ] {
        let mut headers = vec![(header::IF_MODIFIED_SINCE, since)];
        headers.extend(tag.map(|tag| (header::IF_NONE_MATCH, tag)));
        let response = get(&server, "/a.txt", &headers).await;
        assert_eq!(response.status(), status, "{since} {tag:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn link_is_followed_inside_the_folder_only() {
    use std::os::unix::fs::symlink;
    let outside = folder(&[("secret.txt", b"secret"), ("secret.js.br", b"secret")]);
    let inside = folder(&[("real.txt", b"real"), ("secret.js", b"plain")]);
    let link = |target, name| symlink(target, inside.path().join(name)).unwrap();
    link(outside.path().join("secret.txt"), "file.txt");
    link(outside.path().to_path_buf(), "dir");
    link("../../../../etc/hostname".into(), "relative.txt");
    link(outside.path().join("secret.js.br"), "secret.js.br");
    link("real.txt".into(), "alias.txt");
    link("nowhere.txt".into(), "dangling.txt");
    let server = serve(&inside);

    for path in [
        "/file.txt",
        "/dir/secret.txt",
        "/relative.txt",
        "/dangling.txt",
    ] {
        let response = get(&server, path, &[]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let br = [(header::ACCEPT_ENCODING, "br")];
    assert_eq!(get(&server, "/secret.js", &br).await.body(), "plain");
    assert_eq!(get(&server, "/alias.txt", &[]).await.body(), "real");
}

#[cfg(unix)]
#[tokio::test]
async fn folder_that_is_a_link_is_followed_where_it_points_now() {
    use std::os::unix::fs::symlink;
    let releases = folder(&[("1/a.txt", b"one"), ("2/a.txt", b"two")]);
    let current = releases.path().join("current");
    symlink("1", &current).unwrap();
    let assets = FolderAssets::open(&current).unwrap();
    let server = AssetServer::new(assets.with_clock(tomorrow()));
    assert_eq!(get(&server, "/a.txt", &[]).await.body(), "one");
    fs::remove_file(&current).unwrap();
    symlink("2", &current).unwrap();
    assert_eq!(get(&server, "/a.txt", &[]).await.body(), "two");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_not_a_regular_file_is_not_opened() {
    let folder = folder(&[("sub/a.txt", b"text")]);
    // Opening it to read would wait for a writer.
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("pipe.txt"))
        .status();
    assert!(made.unwrap().success());
    let server = serve(&folder);
    for path in ["/pipe.txt", "/sub", "/sub/a.txt/b"] {
        let response = get(&server, path, &[]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn file_longer_than_the_limit_is_an_error() {
    let folder = folder(&[("ten.txt", b"0123456789"), ("eleven.txt", b"0123456789+")]);
    let assets = FolderAssets::open(folder.path()).unwrap();
    let server = AssetServer::new(assets.with_max_file_bytes(10));
    let ten = get(&server, "/ten.txt", &[]).await;
    assert_eq!(
        (ten.status(), &ten.body()[..]),
        (StatusCode::OK, &b"0123456789"[..])
    );
    let eleven = get(&server, "/eleven.txt", &[]).await;
    assert_eq!(eleven.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn folder_that_vanishes_answers_and_comes_back() {
    let parent = folder(&[("dist/index.html", b"page")]);
    let dist = parent.path().join("dist");
    let server = AssetServer::new(FolderAssets::open(&dist).unwrap());
    fs::remove_dir_all(&dist).unwrap();
    let response = get(&server, "/", &[]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    write(parent.path(), "dist/index.html", b"page");
    assert_eq!(get(&server, "/", &[]).await.body(), "page");
}

#[tokio::test]
async fn folder_serves_head_and_ranges_as_the_embedded_do() {
    let folder = folder(&[("a.txt", b"0123456789")]);
    let server = serve(&folder);
    let part = get(&server, "/a.txt", &[(header::RANGE, "bytes=2-4")]).await;
    assert_eq!(part.body(), "234");
    let head = send(&server, "HEAD", "/a.txt", &[]).await;
    assert_eq!(field(&head, header::CONTENT_LENGTH), Some("10"));
}
