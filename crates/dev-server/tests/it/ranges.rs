use http::{StatusCode, header};
use proptest::prelude::*;
use steadfast_dev_server::{AssetServer, EmbeddedAssets};

use crate::{embedded, get, header as field};

#[tokio::test]
async fn range_is_served_with_its_place() {
    let server = embedded();
    let range = |range| [(header::RANGE, range)];
    let part = get(&server, "/digits.txt", &range("bytes=3-5")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.body(), "345");
    assert_eq!(field(&part, header::CONTENT_RANGE), Some("bytes 3-5/10"));
    assert_eq!(field(&part, header::CONTENT_LENGTH), Some("3"));
    assert_eq!(field(&part, header::ACCEPT_RANGES), Some("bytes"));

    let outside = get(&server, "/digits.txt", &range("bytes=10-")).await;
    assert_eq!(outside.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(field(&outside, header::CONTENT_RANGE), Some("bytes */10"));
    assert_eq!(field(&outside, header::CACHE_CONTROL), Some("no-store"));

    let several = get(&server, "/digits.txt", &range("bytes=0-1,3-4")).await;
    assert_eq!(several.status(), StatusCode::OK);
    assert_eq!(several.body(), "0123456789");
}

#[tokio::test]
async fn range_is_one_of_the_encoding_served() {
    let headers = [
        (header::RANGE, "bytes=0-1"),
        (header::ACCEPT_ENCODING, "br"),
    ];
    let part = get(&embedded(), "/assets/index-BfX3kQ_2.js", &headers).await;
    assert_eq!(part.body(), "br");
    assert_eq!(field(&part, header::CONTENT_ENCODING), Some("br"));
    assert_eq!(field(&part, header::CONTENT_RANGE), Some("bytes 0-1/9"));
}

#[tokio::test]
async fn range_of_another_version_is_the_whole_of_this_one() {
    let server = embedded();
    let tag = field(&get(&server, "/digits.txt", &[]).await, header::ETAG)
        .unwrap()
        .to_owned();
    let weak = format!("W/{tag}");
    for (if_range, status) in [
        (tag.as_str(), StatusCode::PARTIAL_CONTENT),
        (weak.as_str(), StatusCode::OK),
        ("\"other\"", StatusCode::OK),
        ("Tue, 14 Nov 2023 22:13:20 GMT", StatusCode::OK),
    ] {
        let headers = [(header::RANGE, "bytes=0-1"), (header::IF_RANGE, if_range)];
        let response = get(&server, "/digits.txt", &headers).await;
        assert_eq!(response.status(), status, "{if_range}");
    }
    // A tag that the client has already comes first.
    let headers = [
        (header::RANGE, "bytes=0-1"),
        (header::IF_NONE_MATCH, tag.as_str()),
    ];
    let response = get(&server, "/digits.txt", &headers).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
}

/// A range as its grammar has it, or nearly.
#[derive(Clone, Debug)]
enum Asked {
    FromTo(u64, u64),
    From(u64),
    Last(u64),
    Garbage(String),
}

impl Asked {
    fn header(&self) -> String {
        match self {
            Self::FromTo(first, last) => format!("bytes={first}-{last}"),
            Self::From(first) => format!("bytes={first}-"),
            Self::Last(count) => format!("bytes=-{count}"),
            Self::Garbage(text) => text.clone(),
        }
    }

    /// By picking each byte on its own: `None` is a header to be ignored.
    fn pick(&self, content: &[u8]) -> Option<Vec<u8>> {
        let wanted = |index: u64| match *self {
            Self::FromTo(first, last) => first <= index && index <= last,
            Self::From(first) => first <= index,
            Self::Last(count) => content.len() as u64 - index <= count,
            Self::Garbage(_) => false,
        };
        match self {
            Self::FromTo(first, last) if first > last => None,
            Self::Garbage(_) => None,
            Self::Last(count) if *count > 0 && content.is_empty() => None,
            _ => Some(
                (0..)
                    .zip(content)
                    .filter(|(index, _)| wanted(*index))
                    .map(|(_, byte)| *byte)
                    .collect(),
            ),
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let position = || prop_oneof![8 => 0..40_u64, 1 => any::<u64>()];
    prop_oneof![
        (position(), position()).prop_map(|(first, last)| Asked::FromTo(first, last)),
        position().prop_map(Asked::From),
        position().prop_map(Asked::Last),
        "(bytes|items|)=?[-,a-f]{0,4}[a-f]{1}".prop_map(Asked::Garbage),
    ]
}

proptest! {
    #[test]
    fn range_agrees_with_picking_each_byte(
        content in prop::collection::vec(any::<u8>(), 0..32),
        asked in asked(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let server = AssetServer::new(
            EmbeddedAssets::new([("file.bin", content.clone())]).unwrap(),
        );
        let range = asked.header();
        let response =
            runtime.block_on(get(&server, "/file.bin", &[(header::RANGE, range.as_str())]));

        match asked.pick(&content) {
            None => {
                prop_assert_eq!(response.status(), StatusCode::OK);
                prop_assert_eq!(&response.body()[..], &content[..]);
            }
            Some(part) if part.is_empty() => {
                prop_assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
                let place = format!("bytes */{}", content.len());
                prop_assert_eq!(field(&response, header::CONTENT_RANGE), Some(place.as_str()));
            }
            Some(part) => {
                prop_assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
                prop_assert_eq!(&response.body()[..], &part[..]);
                let place = field(&response, header::CONTENT_RANGE).unwrap().to_owned();
                let (range, total) = place["bytes ".len()..].split_once('/').unwrap();
                let (first, last) = range.split_once('-').unwrap();
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                prop_assert_eq!(total, content.len().to_string());
                prop_assert_eq!(&content[first..=last], &part[..]);
            }
        }
    }
}
