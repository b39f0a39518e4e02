//! Everything that is stored about users is declared, exported and erased, in both databases.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::TryStreamExt as _;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use steadfast_app::adapters::{
    personal::{Erase, ExportedRow, PERSONAL_TABLES, PersonalExport, PersonalTable},
    postgres::{PostgresErasureStore, PostgresPersonalStore},
    sqlite::{SqliteErasureStore, SqlitePersonalStore},
};
use steadfast_notifications::IdSource;
use steadfast_privacy::{ErasureStore, PersonalData, test_util::erasure_conformance};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{postgres_stores, stores};

/// What columns that hold a user's id are called, beside those that refer to an account.
const NAMES_OF_USERS: [&str; 12] = [
    "user_id",
    "owner",
    "owner_id",
    "caller",
    "caller_id",
    "account_id",
    "actor",
    "actor_id",
    "requested_by",
    "created_by",
    "recipient",
    "username",
];

/// Columns that are called so and hold no user: the names of processes.
const NO_USERS: [(&str, &str); 2] = [("sched_run", "owner"), ("lease_lock", "owner")];

/// The tables of one database, and where rows come from.
struct Schema {
    is_sqlite: bool,
    columns: BTreeMap<String, Vec<Column>>,
}

struct Column {
    name: String,
    kind: String,
    refers_to_account: bool,
}

#[derive(Clone)]
enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Database {
    async fn rows(&self, sql: &str) -> Vec<[String; 3]> {
        let sql = AssertSqlSafe(sql.to_owned());
        let rows: Vec<(String, String, String)> = match self {
            Self::Sqlite(pool) => sqlx::query_as(sql).fetch(pool).try_collect().await,
            Self::Postgres(pool) => sqlx::query_as(sql).fetch(pool).try_collect().await,
        }
        .unwrap();
        rows.into_iter().map(|(a, b, c)| [a, b, c]).collect()
    }

    async fn execute(&self, sql: &str) {
        let statement = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::raw_sql(statement).execute(pool).await.map(drop),
            Self::Postgres(pool) => sqlx::raw_sql(statement).execute(pool).await.map(drop),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn schema(&self) -> Schema {
        let (columns, keys) = match self {
            Self::Sqlite(_) => (
                "SELECT m.name, p.name, p.type FROM sqlite_schema m, pragma_table_info(m.name) p
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
                "SELECT m.name, f.\"from\", f.\"table\"
                 FROM sqlite_schema m, pragma_foreign_key_list(m.name) f
                 WHERE m.type = 'table'",
            ),
            Self::Postgres(_) => (
                "SELECT c.table_name::text, c.column_name::text, c.data_type::text
                 FROM information_schema.columns c JOIN information_schema.tables t
                     USING (table_schema, table_name)
                 WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE'",
                "SELECT k.table_name::text, k.column_name::text, u.table_name::text
                 FROM information_schema.key_column_usage k
                 JOIN information_schema.referential_constraints r USING (constraint_name)
                 JOIN information_schema.constraint_column_usage u
                     ON u.constraint_name = r.constraint_name",
            ),
        };
        let keys = self.rows(keys).await;
        let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        for [table, name, kind] in self.rows(columns).await {
            let refers_to_account = keys
                .iter()
                .any(|key| key[0] == table && key[1] == name && key[2] == "account");
            tables.entry(table).or_default().push(Column {
                name,
                kind: kind.to_ascii_uppercase(),
                refers_to_account,
            });
        }
        assert!(tables.len() > 10, "{:?}", tables.keys());
        Schema {
            is_sqlite: matches!(self, Self::Sqlite(_)),
            columns: tables,
        }
    }

    /// A row in each declared table, of a user whose id is `user`.
    async fn plant(&self, schema: &Schema, ids: &dyn IdSource, user: Uuid) {
        let schedule = ids.next_id();
        for table in PERSONAL_TABLES.iter().rev() {
            let id = match table.name {
                "account" => user,
                "schedule" => schedule,
                _ => ids.next_id(),
            };
            let given = HashMap::from([
                ("id", schema.uuid(id)),
                ("user_id", schema.uuid(user)),
                ("caller", schema.uuid(user)),
                ("schedule_id", schema.uuid(schedule)),
                ("key", format!("'{schedule}'")),
                ("ns", "'notifications'".to_owned()),
                ("state", "'done'".to_owned()),
                ("role", "'user'".to_owned()),
                ("answer", format!("'{{\"user_id\":\"{user}\"}}'")),
            ]);
            let given = |column: &Column| match (table.name, &*column.name) {
                // Of one that is over: it is not in the way of the one that a test makes.
                ("erasure", "status") => "'cancelled'".to_owned(),
                (_, name) => given
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| schema.value(column, ids.next_id())),
            };
            let columns = &schema.columns[table.name];
            let names: Vec<_> = columns.iter().map(|column| &*column.name).collect();
            let values: Vec<_> = columns.iter().map(given).collect();
            let (name, names, values) = (table.name, names.join(", "), values.join(", "));
            let sql = format!("INSERT INTO {name} ({names}) VALUES ({values})");
            self.execute(&sql).await;
        }
    }
}

impl Schema {
    fn uuid(&self, id: Uuid) -> String {
        match self.is_sqlite {
            true => format!("x'{}'", id.simple()),
            false => format!("'{id}'"),
        }
    }

    fn value(&self, column: &Column, id: Uuid) -> String {
        match &*column.kind {
            "TEXT" => format!("'text of {id}'"),
            "INTEGER" | "BIGINT" => "1".to_owned(),
            "BOOLEAN" => "FALSE".to_owned(),
            "BLOB" | "BYTEA" if self.is_sqlite => format!("x'{0}{0}'", id.simple()),
            "BYTEA" => format!("'\\x{0}{0}'", id.simple()),
            "UUID" => self.uuid(id),
            kind => panic!("{}: plant a {kind}", column.name),
        }
    }

    /// Tables with columns that hold a user's id or name.
    fn personal(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut personal: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (table, columns) in &self.columns {
            for column in columns {
                let is_named = NAMES_OF_USERS.contains(&&*column.name)
                    && !NO_USERS.contains(&(table, &column.name));
                if is_named || column.refers_to_account {
                    personal.entry(table).or_default().insert(&column.name);
                }
            }
        }
        personal
    }
}

/// Every table with a user in it is declared, by each of its columns.
fn every_table_is_declared(schema: &Schema) {
    let personal = schema.personal();
    for (name, columns) in &personal {
        let table = PersonalTable::named(name)
            .unwrap_or_else(|| panic!("declare {name} in PERSONAL_TABLES: it has {columns:?}"));
        let select = table.select(schema.is_sqlite);
        for column in columns.iter().filter(|_| *name != "account") {
            assert!(
                select.contains(column),
                "{name} is not found by its {column}"
            );
        }
        if let Erase::Keep { because } | Erase::Blank { because, .. } = table.erase {
            assert!(because.len() > 20, "{name}: say why it is kept");
        }
    }
    for table in PERSONAL_TABLES {
        let columns = &schema.columns[table.name];
        for hidden in table.hidden {
            assert!(columns.iter().any(|column| column.name == *hidden));
        }
    }
}

async fn exported(store: &dyn PersonalExport, user: Uuid) -> Vec<ExportedRow> {
    let (to, mut rows) = mpsc::channel(1);
    let received = async {
        let mut all = Vec::new();
        while let Some(row) = rows.recv().await {
            all.push(row);
        }
        all
    };
    let (done, all) = tokio::join!(store.export(user, to), received);
    done.unwrap();
    all
}

/// What was exported is all of it, and reads as what was stored.
fn is_complete(schema: &Schema, rows: &[ExportedRow], user: Uuid) {
    let lines: Vec<_> = rows
        .iter()
        .map(|row| Value::Object(row.row.clone()).to_string())
        .collect();
    for (row, line) in rows.iter().zip(lines) {
        let parsed: Map<String, Value> = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed, row.row, "it reads as it was written");
        let table = PersonalTable::named(row.table).unwrap();
        for column in &schema.columns[row.table] {
            let is_hidden = table.hidden.contains(&&*column.name);
            let value = parsed.get(&column.name);
            assert_eq!(value.is_none(), is_hidden, "{}.{}", row.table, column.name);
            match (value, &*column.kind, &*column.name) {
                (None, ..) => {}
                (Some(value), _, "user_id" | "caller") => assert_eq!(value, &user.to_string()),
                (Some(Value::String(text)), "INTEGER" | "BIGINT", _) => {
                    text.parse::<jiff::Timestamp>().unwrap();
                }
                (Some(value), "TEXT", _) => assert!(value.is_string(), "{line}"),
                (Some(value), _, _) => assert!(!value.is_null(), "{line}"),
            }
        }
    }
    let tables: Vec<_> = rows.iter().map(|row| row.table).collect();
    let declared: Vec<_> = PERSONAL_TABLES.iter().map(|table| table.name).collect();
    assert_eq!(tables, declared, "a row of each table, and no other");
}

async fn everything_is_exported_and_erased(
    database: Database,
    (erasures, store): (&dyn ErasureStore, &(impl PersonalData + PersonalExport)),
    ids: &dyn IdSource,
) {
    let schema = database.schema().await;
    every_table_is_declared(&schema);
    erasure_conformance::erasures(erasures).await.unwrap();
    let [user, other] = [(); 2].map(|()| ids.next_id());
    let plant = async |user| database.plant(&schema, ids, user).await;
    // Whoever is not erased keeps every row as it is.
    let (whole, stranger) = (ids.next_id(), ids.next_id());
    plant(whole).await;
    plant(stranger).await;
    is_complete(&schema, &exported(store, whole).await, whole);
    let before = exported(store, stranger).await;
    assert_eq!(exported(store, ids.next_id()).await, [], "of nobody");

    erasure_conformance::personal_data(erasures, store, [user, other], plant)
        .await
        .unwrap();
    let left = exported(store, user).await;
    let left: BTreeSet<_> = left.iter().map(|row| row.table).collect();
    let mut kept = PERSONAL_TABLES.to_vec();
    kept.retain(|table| !matches!(table.erase, Erase::Delete));
    assert_eq!(left, kept.iter().map(|table| table.name).collect());
    assert_eq!(exported(store, stranger).await, before);
}

#[tokio::test]
async fn row_18_export_is_complete_and_erasure_too_in_sqlite() {
    let stores = stores::Stores::open().await;
    let database = Database::Sqlite(stores.pools.writer.clone());
    let (reader, writer) = stores.guarded();
    let erasures = SqliteErasureStore::new(reader.clone(), writer.clone());
    let personal = SqlitePersonalStore::new(reader, writer);
    everything_is_exported_and_erased(database, (&erasures, &personal), &*stores.ids).await;
}

#[tokio::test]
async fn row_18_export_is_complete_and_erasure_too_in_postgres() {
    let Some(stores) = postgres_stores::Stores::open().await else {
        return;
    };
    let database = Database::Postgres((*stores.pool).clone());
    let erasures = PostgresErasureStore::new(stores.guarded());
    let personal = PostgresPersonalStore::new(stores.guarded());
    everything_is_exported_and_erased(database, (&erasures, &personal), &*stores.ids).await;
}
