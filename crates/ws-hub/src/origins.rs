use http::{HeaderMap, Uri, header};

use crate::{BuildError, Refusal};

/// Which web pages may open a connection.
///
/// Browsers send `Origin` with each WebSocket handshake and let any page open one, cookies and
/// all: without this check a foreign page acts in the user's name (cross-site WebSocket
/// hijacking, CWE-1385). Other programs send none and are let through.
#[derive(Debug)]
pub(crate) enum Origins {
    /// The host that was asked for.
    SameHost,
    /// Those listed.
    Listed(Vec<String>),
    /// Each.
    Any,
}

impl Origins {
    pub(crate) fn parse(origins: Option<Vec<String>>) -> Result<Self, BuildError> {
        let Some(origins) = origins else {
            return Ok(Self::SameHost);
        };
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Self::Any);
        }
        let origins = origins.into_iter().map(|origin| {
            let uri = origin.parse::<Uri>().ok();
            let valid = uri.is_some_and(|uri| {
                uri.scheme().is_some() && uri.host().is_some() && !origin.ends_with('/')
            });
            if valid {
                Ok(origin.to_ascii_lowercase())
            } else {
                Err(BuildError::Origin { origin })
            }
        });
        origins.collect::<Result<_, _>>().map(Self::Listed)
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        let allowed = match self {
            Self::Any => true,
            Self::Listed(origins) => origins.contains(&text),
            Self::SameHost => {
                let host = headers.get(header::HOST).map(|host| host.as_bytes());
                let of_origin = text.split_once("://").map(|(_, host)| host.as_bytes());
                host.zip(of_origin)
                    .is_some_and(|(host, origin)| host.eq_ignore_ascii_case(origin))
            }
        };
        if allowed {
            Ok(())
        } else {
            Err(Refusal::Origin { origin: text })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origins: &Origins, origin: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "app.test:8080".parse().unwrap());
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        origins.check(&headers).is_ok()
    }

    #[test]
    fn same_host_is_the_default() {
        let origins = Origins::parse(None).unwrap();
        assert!(allows(&origins, "http://app.test:8080"));
        assert!(!allows(&origins, "http://app.test"));
        assert!(!allows(&origins, "http://evil.test"));
        assert!(!allows(&origins, "null"));
        assert!(origins.check(&HeaderMap::new()).is_ok(), "no browser");
    }

    #[test]
    fn listed_origins_are_compared_whole() {
        let origins = Origins::parse(Some(vec!["https://App.test".into()])).unwrap();
        assert!(allows(&origins, "https://app.test"));
        assert!(!allows(&origins, "http://app.test"));
        assert!(!allows(&origins, "https://app.test.evil.test"));
    }

    #[test]
    fn malformed_origin_is_refused_by_name() {
        for bad in ["app.test", "https://app.test/", ""] {
            let error = Origins::parse(Some(vec![bad.into()])).unwrap_err();
            assert_eq!(error, BuildError::Origin { origin: bad.into() });
        }
    }
}
