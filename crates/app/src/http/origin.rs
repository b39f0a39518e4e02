use http::{HeaderMap, Uri, header};

/// Whether the `Origin` header names this service itself: the host that the request was sent to,
/// or the public URL.
///
/// Without an `Origin` the answer is no: browsers send one with every WebSocket and every write.
#[must_use]
pub(super) fn is_same_origin(headers: &HeaderMap, public_url: Option<&Uri>) -> bool {
    let Some(origin) = headers
        .get(header::ORIGIN)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let Ok(origin) = origin.parse::<Uri>() else {
        return false;
    };
    let Some(authority) = origin.authority() else {
        return false;
    };
    if let Some(public) = public_url {
        return origin.scheme() == public.scheme() && Some(authority) == public.authority();
    }
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "127.0.0.1:8080".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_the_own_host_is_the_same_origin() {
        assert!(is_same_origin(
            &headers(Some("http://127.0.0.1:8080")),
            None
        ));
        for other in ["http://127.0.0.1:9090", "https://evil.example", "null", ""] {
            assert!(!is_same_origin(&headers(Some(other)), None), "{other}");
        }
        assert!(!is_same_origin(&headers(None), None));
    }

    #[test]
    fn public_url_replaces_the_host_behind_a_proxy() {
        let public: Uri = "https://push.example.org".parse().unwrap();
        assert!(is_same_origin(
            &headers(Some("https://push.example.org")),
            Some(&public)
        ));
        assert!(!is_same_origin(
            &headers(Some("http://push.example.org")),
            Some(&public)
        ));
        assert!(!is_same_origin(
            &headers(Some("http://127.0.0.1:8080")),
            Some(&public)
        ));
    }
}
