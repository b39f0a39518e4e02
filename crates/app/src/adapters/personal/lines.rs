use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use serde_json::json;
use steadfast_privacy::PortError;
use tokio::{sync::mpsc, time::timeout};
use uuid::Uuid;

use super::{ExportedRow, PersonalExport};

/// How long an export may take: it holds a snapshot of the database.
const MAX_DURATION: Duration = Duration::from_secs(10 * 60);

/// How many rows are read ahead of whoever receives them.
const READ_AHEAD: usize = 32;

/// All that is stored about a user, as lines of JSON: one that says what it is, one a row, and a
/// last one that says `"end":true` and how many rows there were. Without that one it is not whole.
///
/// Nothing is read before the first line is asked for, and few rows ahead of who receives.
///
/// # Errors
///
/// Its last item is an error if the store fails or ten minutes are not enough.
///
/// # Cancel safety
///
/// Dropped, the reading ends.
pub fn export_lines(
    export: Arc<dyn PersonalExport>,
    user: Uuid,
    taken_at: Timestamp,
) -> impl Stream<Item = Result<Bytes, PortError>> + Send + use<> {
    let (to, rows) = mpsc::channel(READ_AHEAD);
    let ended = async move {
        match timeout(MAX_DURATION, export.export(user, to)).await {
            Ok(ended) => Event::Ended(ended),
            Err(_) => Event::Ended(Err(PortError::transient("it takes too long"))),
        }
    };
    let rows = stream::unfold(rows, |mut rows| async move {
        let row = rows.recv().await?;
        Some((Event::Row(row), rows))
    });
    let first = json!({"format": "steadfast-export/1", "user_id": user, "taken_at": taken_at});
    let lines = Lines {
        events: stream::select(rows, stream::once(ended)).boxed(),
        rows: BTreeMap::new(),
        outcome: None,
        is_over: false,
    };
    let rest = stream::unfold(lines, |mut lines| async move {
        let line = lines.next().await?;
        Some((line, lines))
    });
    stream::once(async move { Ok(line(&first)) }).chain(rest)
}

enum Event {
    Row(ExportedRow),
    /// Rows that were sent before may come after it.
    Ended(Result<(), PortError>),
}

struct Lines {
    events: BoxStream<'static, Event>,
    rows: BTreeMap<&'static str, u64>,
    outcome: Option<Result<(), PortError>>,
    is_over: bool,
}

impl Lines {
    async fn next(&mut self) -> Option<Result<Bytes, PortError>> {
        while let Some(event) = self.events.next().await {
            match event {
                Event::Row(ExportedRow { table, row }) => {
                    *self.rows.entry(table).or_default() += 1;
                    return Some(Ok(line(&json!({"table": table, "row": row}))));
                }
                Event::Ended(outcome) => self.outcome = Some(outcome),
            }
        }
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        let outcome = self.outcome.take().unwrap_or(Ok(()));
        Some(outcome.map(|()| line(&json!({"end": true, "rows": self.rows}))))
    }
}

fn line(value: &serde_json::Value) -> Bytes {
    format!("{value}\n").into()
}
