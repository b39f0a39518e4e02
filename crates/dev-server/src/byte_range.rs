use std::ops::Range;

use http::{HeaderMap, header::RANGE};

/// What a `Range` header asks of a representation (RFC 9110, section 14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// All of it: no range, several ranges, another unit or a header that cannot be read.
    Whole,
    /// This part of it, which is never empty and lies inside.
    Part(Range<u64>),
    /// A part that lies outside.
    Unsatisfiable,
}

impl ByteRange {
    pub(crate) fn from_headers(headers: &HeaderMap, len: u64) -> Self {
        let mut values = headers.get_all(RANGE).iter();
        match (values.next().map(|value| value.to_str()), values.next()) {
            (Some(Ok(value)), None) => Self::parse(value, len).unwrap_or(Self::Whole),
            _ => Self::Whole,
        }
    }

    /// `None` for what is not one range of bytes.
    fn parse(value: &str, len: u64) -> Option<Self> {
        let (unit, range) = value.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match range.trim().split_once('-')? {
            ("", suffix) => Some(match position(suffix)? {
                0 => Self::Unsatisfiable,
                _ if len == 0 => Self::Whole,
                suffix => Self::Part(len.saturating_sub(suffix)..len),
            }),
            (first, last) => {
                let first = position(first)?;
                let last = if last.is_empty() {
                    u64::MAX
                } else {
                    position(last)?
                };
                if first > last {
                    return None;
                }
                Some(if first >= len {
                    Self::Unsatisfiable
                } else {
                    Self::Part(first..len.min(last.saturating_add(1)))
                })
            }
        }
    }
}

/// A run of digits; what does not fit is as good as endless.
fn position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_cut_to_the_representation() {
        use ByteRange::{Part, Unsatisfiable, Whole};
        for (value, expected) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=2-", Part(2..10)),
            ("bytes=2-99", Part(2..10)),
            ("BYTES=9-9", Part(9..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-99", Part(0..10)),
            ("bytes=0-99999999999999999999999", Part(0..10)),
            ("bytes=10-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=3-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=a-", Whole),
            ("bytes=-", Whole),
            ("bytes", Whole),
            ("lines=0-1", Whole),
        ] {
            let parsed = ByteRange::parse(value, 10).unwrap_or(Whole);
            assert_eq!(parsed, expected, "{value}");
        }
    }

    #[test]
    fn empty_representation_has_no_part() {
        assert_eq!(
            ByteRange::parse("bytes=0-", 0),
            Some(ByteRange::Unsatisfiable)
        );
        assert_eq!(ByteRange::parse("bytes=-1", 0), Some(ByteRange::Whole));
    }
}
