use http::HeaderValue;

use crate::AssetName;

/// How long a response may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CachePolicy {
    /// Not at all: errors.
    Never,
    /// As long as the server says each time that it is still so: `index.html`, which names the
    /// others.
    Revalidate,
    /// For minutes: files that keep their name when they change.
    Short,
    /// For ever: files whose name changes with their content.
    Immutable,
}

impl CachePolicy {
    pub(crate) fn of(name: &AssetName) -> Self {
        if name.file_name() == "index.html" {
            Self::Revalidate
        } else if is_hashed(name) {
            Self::Immutable
        } else {
            Self::Short
        }
    }

    pub(crate) const fn header_value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Never => "no-store",
            Self::Revalidate => "no-cache",
            Self::Short => "public, max-age=300",
            Self::Immutable => "public, max-age=31536000, immutable",
        })
    }
}

/// Whether Vite put a hash of the content into the name: `assets/…name-HASH.ext`, the hash being
/// eight characters of base64url, or the same with `.map` after it.
///
/// A word of eight letters (`assets/user-settings.js`) or a date (`assets/report-20260131.pdf`),
/// which may come from the public folder, is not taken for a hash: a hash has a digit beside a
/// letter, or a capital after a small letter. The few real hashes without either are cached for a
/// shorter time, which is slower but never wrong.
fn is_hashed(name: &AssetName) -> bool {
    const HASH_LEN: usize = 8;
    let is_asset = name.as_str().starts_with("assets/");
    let file = name.file_name();
    let file = file.strip_suffix(".map").unwrap_or(file);
    let Some((stem, _)) = file.rsplit_once('.').filter(|_| is_asset) else {
        return false;
    };
    let stem = stem.as_bytes();
    let Some(dash) = stem.len().checked_sub(HASH_LEN + 1) else {
        return false;
    };
    stem[dash] == b'-' && looks_random(&stem[dash + 1..])
}

fn looks_random(hash: &[u8]) -> bool {
    let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let has = |class: fn(&u8) -> bool| hash.iter().any(class);
    let capital_inside = hash
        .iter()
        .skip_while(|byte| !byte.is_ascii_lowercase())
        .any(u8::is_ascii_uppercase);
    hash.iter().all(is_base64url)
        && (capital_inside || has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_follows_from_the_name() {
        use CachePolicy::{Immutable, Revalidate, Short};
        for (name, expected) in [
            ("index.html", Revalidate),
            ("docs/index.html", Revalidate),
            ("assets/index-BfX3-k_2.js", Immutable),
            ("assets/index-DiwrgTda.css", Immutable),
            ("assets/index-DiwrgTda.js.map", Immutable),
            ("assets/fonts/a-b-c-0a1b2c3d.woff2", Immutable),
            ("assets/user-settings.js", Short),
            ("assets/my-Document.pdf", Short),
            ("assets/report-20260131.pdf", Short),
            ("assets/index.js", Short),
            ("assets/-B1.js", Short),
            ("assets/index-BfX3.k_2.js", Short),
            ("assets/index-BfX3-k_2", Short),
            ("index-BfX3-k_2.js", Short),
            ("favicon.svg", Short),
        ] {
            let name = AssetName::new(name).unwrap();
            assert_eq!(CachePolicy::of(&name), expected, "{name}");
        }
    }
}
