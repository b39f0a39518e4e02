use serde::{Deserialize, Serialize};

/// One page of a list, and where the next one starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Give it as the next request's cursor; `None` on the last page.
    pub next: Option<String>,
}

/// Which page of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
pub struct PageRequest {
    /// How many items at most, from 1 to [`MAX_LIMIT`](Self::MAX_LIMIT).
    pub limit: u32,
    /// [`Page::next`] of the page before; `None` for the first.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// The page size when none is asked for.
    pub const DEFAULT_LIMIT: u32 = 50;
    /// The largest page.
    pub const MAX_LIMIT: u32 = 200;
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            limit: Self::DEFAULT_LIMIT,
            cursor: None,
        }
    }
}

impl<T> Page<T> {
    /// Cuts a page of `limit` out of up to `limit + 1` rows that a store found.
    pub(crate) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_a_next_only_if_there_is_more() {
        let full = Page::cut(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!((full.items, full.next), (vec![1, 2], Some("2".to_owned())));
        let last = Page::cut(vec![1, 2], 2, ToString::to_string);
        assert_eq!((last.items, last.next), (vec![1, 2], None));
        let empty = Page::cut(Vec::<u8>::new(), 2, ToString::to_string);
        assert_eq!((empty.items, empty.next), (vec![], None));
    }
}
