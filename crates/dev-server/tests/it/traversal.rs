use std::sync::LazyLock;

use http::{StatusCode, header};
use proptest::prelude::*;
use steadfast_dev_server::{AssetServer, EmbeddedAssets, FolderAssets};
use tempfile::TempDir;

use crate::{conformance::write, get};

const INSIDE: [(&str, &[u8]); 3] = [
    ("index.html", b"page"),
    ("a.txt", b"inside"),
    ("sub/a.txt", b"deeper inside"),
];

/// `dist` among files that must never be served, in a folder of their own.
static HOUSE: LazyLock<TempDir> = LazyLock::new(|| {
    let house = TempDir::new().unwrap();
    for (name, content) in INSIDE {
        write(house.path(), &format!("dist/{name}"), content);
    }
    for secret in [
        "a.txt",
        "secret",
        "sub/a.txt",
        "dist/.env",
        "dist/.git/a.txt",
        "dist2/a.txt",
    ] {
        write(house.path(), secret, b"SECRET");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", house.path().join("dist/up")).unwrap();
    house
});

/// Pieces from which attacks on paths are made.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "//",
        "..",
        "..",
        "../",
        "./",
        ".",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "%2f",
        "%2F",
        "%5c",
        "%5C",
        "%255c",
        "%00",
        "%0a",
        "%c0%ae",
        "%c0%af",
        "%e2%80%a5",
        "..;",
        "...",
        "%",
        "%2",
        "%zz",
        "~",
        ":",
        "c:",
        "file:",
        "%3a",
        "a.txt",
        "sub",
        "secret",
        "dist",
        "dist2",
        "up",
        ".env",
        ".git",
        "index.html",
        "?",
        "etc/passwd",
    ]);
    prop_oneof![8 => fixed.prop_map(str::to_owned), 1 => "[!-~&&[^#]]{1,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn no_path_leads_out_of_the_assets(pieces in prop::collection::vec(piece(), 0..8)) {
        let path = format!("/{}", pieces.concat());
        prop_assume!(path.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_none()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let folder = FolderAssets::open(HOUSE.path().join("dist")).unwrap();
        let folder = AssetServer::new(folder);
        let embedded = AssetServer::new(EmbeddedAssets::new(INSIDE).unwrap());

        for accept in ["text/html", "*/*"] {
            let headers = [(header::ACCEPT, accept)];
            let from_folder = runtime.block_on(get(&folder, &path, &headers));
            let from_table = runtime.block_on(get(&embedded, &path, &headers));
            // The table holds nothing else, so whatever it agrees with is inside.
            prop_assert_eq!(from_folder.status(), from_table.status(), "{}", &path);
            prop_assert_eq!(from_folder.body(), from_table.body(), "{}", &path);
            let known = INSIDE.iter().any(|(_, content)| from_folder.body() == *content);
            prop_assert!(known || from_folder.status() == StatusCode::NOT_FOUND, "{}", &path);
        }
    }
}

#[tokio::test]
async fn classic_attacks_are_not_found() {
    let server = AssetServer::new(FolderAssets::open(HOUSE.path().join("dist")).unwrap());
    assert_eq!(
        get(&server, "/sub/a.txt", &[]).await.body(),
        "deeper inside"
    );
    for path in [
        "/../secret",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/sub/..%5c..%5csecret",
        "/a.txt%00.html",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/c:/windows/win.ini",
        "/.env",
        "/.git/a.txt",
        "/up/secret",
        "/../dist2/a.txt",
    ] {
        let response = server
            .respond(&http::Method::GET, path, &http::HeaderMap::new())
            .await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
}
