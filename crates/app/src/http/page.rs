use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;

/// The most items of a page.
const MAX_LIMIT: u32 = 200;

/// The items of a page where nothing is said.
const DEFAULT_LIMIT: u32 = 50;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageView<T> {
    /// The items of this page.
    pub(super) items: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last one.
    pub(super) next: Option<String>,
}

impl<T> PageView<T> {
    /// A page of `limit` items, out of a list that was read one item further to see whether there
    /// is a next one.
    pub(super) fn cut<R: Into<T>>(
        mut rows: Vec<R>,
        limit: u32,
        cursor: impl Fn(&R) -> String,
    ) -> Self {
        let limit = limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(cursor);
        Self {
            items: rows.into_iter().map(Into::into).collect(),
            next,
        }
    }
}

/// Which page of a list in the order of its ids.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IdPage {
    /// Items of the page, 1 to 200; 50 where nothing is said.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

impl IdPage {
    /// After which id, and how many.
    pub(super) fn read(&self) -> Result<(Option<Uuid>, u32), Problem> {
        let limit = page_limit(self.limit)?;
        let cursor = self.cursor.as_deref().map(str::parse).transpose();
        let after = cursor
            .map_err(|_| Problem::field("?cursor", "must be the `next` of the page before"))?;
        Ok((after, limit))
    }
}

/// How many items a page has, where so many were asked for.
pub(super) fn page_limit(wanted: Option<u32>) -> Result<u32, Problem> {
    let limit = wanted.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::field(
        "?limit",
        format!("must be 1 to {MAX_LIMIT}"),
    ))
}
