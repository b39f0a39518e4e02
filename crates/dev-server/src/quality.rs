use http::{HeaderValue, header::GetAll};

/// A weight in thousandths, as in `q=0.5` (RFC 9110, section 12.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quality(u16);

impl Quality {
    /// Not acceptable.
    pub(crate) const ZERO: Self = Self(0);
    /// Acceptable where there is nothing else.
    pub(crate) const LEAST: Self = Self(1);
    /// What counts where no weight is given.
    pub(crate) const FULL: Self = Self(1000);

    /// `None` for anything but `0` to `1` with at most three digits behind the point.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
        match (whole, thousandths) {
            ("0", _) => Some(Self(thousandths)),
            ("1", 0) => Some(Self::FULL),
            _ => None,
        }
    }
}

/// The members of a comma-separated header with their weights, other parameters dropped.
///
/// A weight that cannot be read is zero: what a client said badly is not forced on it.
pub(crate) fn weighted<'h>(
    values: GetAll<'h, HeaderValue>,
) -> impl Iterator<Item = (&'h str, Quality)> {
    values
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|member| {
            let mut parameters = member.split(';').map(str::trim);
            let token = parameters.next().unwrap_or_default();
            let quality = parameters
                .filter_map(|parameter| parameter.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
                .map_or(Quality::FULL, |(_, text)| {
                    Quality::parse(text.trim()).unwrap_or(Quality::ZERO)
                });
            (token, quality)
        })
        .filter(|(token, _)| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_read_in_thousandths() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0.", Some(0)),
            ("0.5", Some(500)),
            ("0.001", Some(1)),
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("1.001", None),
            ("2", None),
            ("-1", None),
            ("0.0001", None),
            (".5", None),
            ("0.+5", None),
            ("", None),
        ] {
            assert_eq!(Quality::parse(text), expected.map(Quality), "{text:?}");
        }
    }
}
