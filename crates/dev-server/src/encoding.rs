use http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};

use crate::quality::{Quality, weighted};

/// A content coding that an asset may have been compressed with when it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Brotli (RFC 7932), the sibling `name.br`.
    Brotli,
    /// Gzip (RFC 1952), the sibling `name.gz`.
    Gzip,
}

impl Encoding {
    /// Every encoding, in the order of preference where a client has none.
    pub const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// The coding's name in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What a sibling's name adds to that of the asset.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }

    pub(crate) const fn header_value(self) -> HeaderValue {
        HeaderValue::from_static(self.token())
    }
}

/// What a client accepts, read from `Accept-Encoding` (RFC 9110, section 12.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AcceptedEncodings {
    /// In the order of [`Encoding::ALL`].
    encodings: [Quality; 2],
    identity: Quality,
}

impl AcceptedEncodings {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let mut named = [None; 2];
        let (mut identity, mut any) = (None, None);
        for (token, quality) in weighted(headers.get_all(ACCEPT_ENCODING)) {
            let quality = Some(quality);
            match token.to_ascii_lowercase().as_str() {
                "br" => named[0] = quality,
                "gzip" | "x-gzip" => named[1] = quality,
                "identity" => identity = quality,
                "*" => any = quality,
                _ => {}
            }
        }
        let any_or_none = any.unwrap_or(Quality::ZERO);
        Self {
            encodings: named.map(|quality| quality.unwrap_or(any_or_none)),
            // Without a word about it the plain asset is acceptable, but the last choice.
            identity: identity.or(any).unwrap_or(Quality::LEAST),
        }
    }

    /// The client's best among those that are there; `None` is the asset as it is, also for a
    /// client that accepts nothing of what there is.
    pub(crate) fn best(self, is_there: impl Fn(Encoding) -> bool) -> Option<Encoding> {
        let mut best = (None, self.identity);
        // From the least preferred on, so that a later equal wins.
        for (encoding, quality) in Encoding::ALL.into_iter().zip(self.encodings).rev() {
            if quality > Quality::ZERO && quality >= best.1 && is_there(encoding) {
                best = (Some(encoding), quality);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(accept: Option<&'static str>, there: &[Encoding]) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
        }
        AcceptedEncodings::from_headers(&headers).best(|encoding| there.contains(&encoding))
    }

    #[test]
    fn best_encoding_follows_the_clients_weights() {
        const BOTH: &[Encoding] = &Encoding::ALL;
        const GZIP: &[Encoding] = &[Encoding::Gzip];
        for (accept, there, expected) in [
            (None, BOTH, None),
            (Some(""), BOTH, None),
            (
                Some("gzip, deflate, br, zstd"),
                BOTH,
                Some(Encoding::Brotli),
            ),
            (Some("gzip, deflate, br, zstd"), GZIP, Some(Encoding::Gzip)),
            (Some("gzip, br"), &[], None),
            (Some("BR;q=0.5, gzip;q=0.6"), BOTH, Some(Encoding::Gzip)),
            (Some("br;q=0, gzip"), BOTH, Some(Encoding::Gzip)),
            (Some("br;q=0"), BOTH, None),
            (Some("*"), BOTH, Some(Encoding::Brotli)),
            (Some("*;q=0, gzip"), BOTH, Some(Encoding::Gzip)),
            (Some("gzip;q=0, *"), GZIP, None),
            (Some("identity, br;q=0.5"), BOTH, None),
            (Some("br;q=0.001"), BOTH, Some(Encoding::Brotli)),
            (Some("identity;q=0"), BOTH, None),
            (Some("identity;q=0, *;q=0.1"), BOTH, Some(Encoding::Brotli)),
            (
                Some("br;q=nonsense, gzip;q=0.1"),
                BOTH,
                Some(Encoding::Gzip),
            ),
            (Some("x-gzip"), BOTH, Some(Encoding::Gzip)),
        ] {
            assert_eq!(best(accept, there), expected, "{accept:?} with {there:?}");
        }
    }
}
