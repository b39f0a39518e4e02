//! What every [`AssetSource`] must do, as functions that a test calls with its own source.
//!
//! Each takes a function that makes a source, and panics, with what was expected, where the source
//! falls short.

use std::sync::Arc;

use crate::{Asset, AssetName, AssetSource, Encoding};

/// The files of a source: names and contents.
pub type Files<'a> = &'a [(&'a str, &'a [u8])];

/// Makes a source with exactly the given files.
pub type Make = dyn Fn(Files<'_>) -> Arc<dyn AssetSource> + Sync;

/// Runs the whole suite.
///
/// # Panics
///
/// Where the source falls short.
pub async fn asset_source(make: &Make) {
    present_asset_is_found(make).await;
    absent_name_is_not_found(make).await;
    siblings_become_encodings(make).await;
    equal_content_has_an_equal_tag(make).await;
}

/// An asset is found by its name, whatever its content and depth.
///
/// # Panics
///
/// Where the source falls short.
pub async fn present_asset_is_found(make: &Make) {
    let files: Files<'_> = &[
        ("index.html", b"<!doctype html>"),
        ("assets/deep/er/app.js", b"export {}"),
        ("empty.txt", b""),
        ("img/caf\u{e9} 1.png", &[0, 255, 128]),
        (".well-known/security.txt", b"Contact: someone"),
    ];
    let source = make(files);
    for (name, content) in files {
        let asset = find(&*source, name).await;
        let asset = asset.unwrap_or_else(|| panic!("{name} is not found"));
        assert_eq!(asset.bytes(), *content, "content of {name}");
    }
    let page = find(&*source, "index.html").await.expect("index.html");
    assert_eq!(page.content_type(), "text/html; charset=utf-8");
}

/// A folder, a part of a name, a name in other letters and an unknown one are not found.
///
/// # Panics
///
/// Where the source falls short.
pub async fn absent_name_is_not_found(make: &Make) {
    let source = make(&[("index.html", b"page"), ("assets/app.js", b"code")]);
    for name in [
        "assets",
        "assets/app",
        "app.js",
        "assets/app.js/more",
        "index.html.br",
        "gone.js",
    ] {
        let found = find(&*source, name).await;
        assert!(found.is_none(), "{name} is found: {found:?}");
    }
}

/// `x.br` and `x.gz` are encodings of `x`, stay assets of their own, and do not make an `x`.
///
/// # Panics
///
/// Where the source falls short.
pub async fn siblings_become_encodings(make: &Make) {
    let source = make(&[
        ("app.js", b"plain"),
        ("app.js.br", b"brotli"),
        ("app.js.gz", b"gzip"),
        ("app.css", b"plain"),
        ("app.css.gz", b"gzip"),
        ("alone.js.br", b"brotli"),
    ]);
    let script = find(&*source, "app.js").await.expect("app.js");
    assert_eq!(script.bytes(), "plain");
    assert_eq!(
        script.encoded(Encoding::Brotli).expect("app.js.br"),
        "brotli"
    );
    assert_eq!(script.encoded(Encoding::Gzip).expect("app.js.gz"), "gzip");
    let style = find(&*source, "app.css").await.expect("app.css");
    assert_eq!(style.encoded(Encoding::Brotli), None);
    assert_eq!(style.encoded(Encoding::Gzip).expect("app.css.gz"), "gzip");
    let sibling = find(&*source, "app.js.br").await.expect("app.js.br");
    assert_eq!(sibling.bytes(), "brotli");
    assert!(find(&*source, "alone.js").await.is_none());
}

/// Entity tags are equal for equal contents, also from another source, and differ otherwise.
///
/// # Panics
///
/// Where the source falls short.
pub async fn equal_content_has_an_equal_tag(make: &Make) {
    let old = make(&[("a.js", b"old"), ("b.js", b"old")]);
    let new = make(&[("a.js", b"new"), ("b.js", b"old")]);
    let tag = async |source: &Arc<dyn AssetSource>, name: &str| {
        let asset = find(&**source, name).await;
        asset.expect("an asset").identity().etag.clone()
    };
    assert_eq!(tag(&old, "a.js").await, tag(&old, "a.js").await);
    assert_eq!(tag(&old, "a.js").await, tag(&new, "b.js").await);
    assert_ne!(tag(&old, "a.js").await, tag(&new, "a.js").await);
}

async fn find(source: &dyn AssetSource, name: &str) -> Option<Arc<Asset>> {
    let name = AssetName::new(name).expect("a valid name");
    source.find(&name).await.expect("a source that works")
}
