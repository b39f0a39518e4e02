use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sqlx::{
    Column as _, Row as _, TypeInfo as _, ValueRef as _, postgres::PgRow, sqlite::SqliteRow,
};
use uuid::Uuid;

use super::PersonalTable;

/// A row as JSON, the same whichever database it comes from: ids are text, times RFC 3339.
pub(in crate::adapters) trait RowJson {
    fn to_json(&self, table: &PersonalTable) -> sqlx::Result<Map<String, Value>>;
}

impl RowJson for SqliteRow {
    fn to_json(&self, table: &PersonalTable) -> sqlx::Result<Map<String, Value>> {
        let columns = self.columns().iter().map(sqlx::Column::name);
        let shown = columns.filter(|name| !table.hidden.contains(name));
        shown
            .map(|name| {
                let raw = self.try_get_raw(name)?;
                let value = match raw.type_info().name() {
                    _ if raw.is_null() => Value::Null,
                    "INTEGER" => number(table, name, self.try_get(name)?)?,
                    "REAL" => json!(self.try_get::<f64, _>(name)?),
                    "BLOB" => bytes(self.try_get(name)?),
                    _ => json!(self.try_get::<String, _>(name)?),
                };
                Ok((name.to_owned(), value))
            })
            .collect()
    }
}

impl RowJson for PgRow {
    fn to_json(&self, table: &PersonalTable) -> sqlx::Result<Map<String, Value>> {
        let columns = self.columns().iter();
        let shown = columns.filter(|column| !table.hidden.contains(&column.name()));
        shown
            .map(|column| {
                let name = column.name();
                let value = match column.type_info().name() {
                    _ if self.try_get_raw(name)?.is_null() => Value::Null,
                    "UUID" => json!(self.try_get::<Uuid, _>(name)?),
                    "INT8" => number(table, name, self.try_get(name)?)?,
                    "INT4" => number(table, name, self.try_get::<i32, _>(name)?.into())?,
                    // As SQLite has it.
                    "BOOL" => json!(u8::from(self.try_get::<bool, _>(name)?)),
                    "FLOAT8" => json!(self.try_get::<f64, _>(name)?),
                    "BYTEA" => bytes(self.try_get(name)?),
                    _ => json!(self.try_get::<String, _>(name)?),
                };
                Ok((name.to_owned(), value))
            })
            .collect()
    }
}

/// A number, or the time that it stands for.
fn number(table: &PersonalTable, column: &str, number: i64) -> sqlx::Result<Value> {
    let endings = ["_at", "_for", "_until", "_from"];
    if !endings.iter().any(|ending| column.ends_with(ending)) {
        return Ok(json!(number));
    }
    let time = match table.name.starts_with("sched_") {
        true => Timestamp::from_millisecond(number),
        false => Timestamp::from_microsecond(number),
    };
    // What is beyond what can be said as a time is said as it is.
    Ok(time.map_or(json!(number), |time| json!(time)))
}

fn bytes(bytes: &[u8]) -> Value {
    match Uuid::from_slice(bytes) {
        Ok(id) => json!(id),
        Err(_) => json!(BASE64_STANDARD.encode(bytes)),
    }
}
