use std::fmt;

use sha2::{Digest, Sha256};

use crate::MigrationSetError;

/// The SQL dialect that a backend speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The name of one migration: the crate that owns it and its version there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct MigrationId {
    /// The crate that owns the migration.
    pub crate_name: String,
    /// Its version, counted from 1 within the crate.
    pub version: u32,
}

impl MigrationId {
    /// The migration `version` of `crate_name`.
    pub fn new(crate_name: impl Into<String>, version: u32) -> Self {
        Self {
            crate_name: crate_name.into(),
            version,
        }
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.crate_name, self.version)
    }
}

/// One migration: its owner, its version, and its SQL in each dialect.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    crate_name: &'static str,
    version: u32,
    sqlite: &'static str,
    postgres: &'static str,
}

impl Migration {
    /// The migration's name.
    #[must_use]
    pub fn id(&self) -> MigrationId {
        MigrationId::new(self.crate_name, self.version)
    }

    /// The crate that owns the migration.
    #[must_use]
    pub fn crate_name(&self) -> &'static str {
        self.crate_name
    }

    /// The version, counted from 1 within the crate.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The SQL in `dialect`: one statement or several, separated by semicolons.
    #[must_use]
    pub fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    /// The SHA-256 of the SQL in `dialect`, in lowercase hexadecimal.
    #[must_use]
    pub fn checksum(&self, dialect: Dialect) -> String {
        use fmt::Write as _;

        let digest = Sha256::digest(self.sql(dialect).as_bytes());
        digest.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// The migrations of all crates that share one database, in the order in which they were added.
///
/// A crate that owns tables exports a plain constant of `(version, SQLite SQL, Postgres SQL)`,
/// so that it needs no dependency on this crate; the application composes them. Within a crate
/// the versions count 1, 2, 3…; between crates the order is the order of [`add`](Self::add).
///
/// # Examples
///
/// ```
/// use steadfast_db_init::MigrationSet;
///
/// const MIGRATIONS: &[(u32, &str, &str)] = &[
///     (1, "CREATE TABLE job (id TEXT PRIMARY KEY) STRICT", "CREATE TABLE job (id text PRIMARY KEY)"),
///     (2, "ALTER TABLE job ADD due INTEGER", "ALTER TABLE job ADD due bigint"),
/// ];
///
/// let set = MigrationSet::new().add("scheduler", MIGRATIONS)?;
/// assert_eq!(set.iter().count(), 2);
/// # Ok::<_, steadfast_db_init::MigrationSetError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MigrationSet {
    crates: Vec<&'static str>,
    migrations: Vec<Migration>,
}

impl MigrationSet {
    /// A set without migrations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the migrations of one crate.
    ///
    /// # Errors
    ///
    /// [`MigrationSetError`], naming the crate and the version, if the crate was added before,
    /// its name is empty, its versions are not 1, 2, 3…, or one of its SQL texts is empty.
    pub fn add(
        mut self,
        crate_name: &'static str,
        migrations: &'static [(u32, &'static str, &'static str)],
    ) -> Result<Self, MigrationSetError> {
        if crate_name.trim().is_empty() {
            return Err(MigrationSetError::EmptyCrateName);
        }
        if self.crates.contains(&crate_name) {
            return Err(MigrationSetError::DuplicateCrate { crate_name });
        }
        for (&(version, sqlite, postgres), expected) in migrations.iter().zip(1..) {
            if version != expected {
                return Err(MigrationSetError::VersionOrder {
                    crate_name,
                    version,
                    expected,
                });
            }
            for (dialect, sql) in [(Dialect::Sqlite, sqlite), (Dialect::Postgres, postgres)] {
                if sql.trim().is_empty() {
                    return Err(MigrationSetError::EmptySql {
                        crate_name,
                        version,
                        dialect,
                    });
                }
            }
            self.migrations.push(Migration {
                crate_name,
                version,
                sqlite,
                postgres,
            });
        }
        self.crates.push(crate_name);
        Ok(self)
    }

    /// The migrations, in the order in which they are applied.
    pub fn iter(&self) -> impl Iterator<Item = &Migration> {
        self.migrations.iter()
    }

    /// Whether `crate_name` was added, with or without migrations.
    #[must_use]
    pub fn contains_crate(&self, crate_name: &str) -> bool {
        self.crates.contains(&crate_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[(u32, &str, &str)] = &[(1, "SELECT 1", "SELECT 1")];

    fn refusal(migrations: &'static [(u32, &'static str, &'static str)]) -> MigrationSetError {
        MigrationSet::new().add("jobs", migrations).unwrap_err()
    }

    #[test]
    fn versions_that_do_not_count_from_one_are_refused() {
        type Case = (&'static [(u32, &'static str, &'static str)], u32, u32);
        let cases: [Case; 4] = [
            (&[(2, "a", "a")], 2, 1),
            (&[(0, "a", "a")], 0, 1),
            (&[(1, "a", "a"), (1, "b", "b")], 1, 2),
            (&[(1, "a", "a"), (3, "b", "b")], 3, 2),
        ];
        for (bad, found, wanted) in cases {
            assert!(matches!(
                refusal(bad),
                MigrationSetError::VersionOrder { crate_name: "jobs", version, expected }
                    if (version, expected) == (found, wanted)
            ));
        }
    }

    #[test]
    fn empty_sql_is_refused_by_name() {
        let error = refusal(&[(1, "SELECT 1", " \n")]);
        assert_eq!(
            error.to_string(),
            "migration 1 of crate `jobs` has no SQL for Postgres"
        );
    }

    #[test]
    fn crate_added_twice_is_refused() {
        let error = MigrationSet::new()
            .add("jobs", ONE)
            .unwrap()
            .add("jobs", ONE);
        assert!(matches!(
            error,
            Err(MigrationSetError::DuplicateCrate { crate_name: "jobs" })
        ));
        assert!(matches!(
            MigrationSet::new().add("", ONE),
            Err(MigrationSetError::EmptyCrateName)
        ));
    }

    #[test]
    fn checksum_is_sha256_of_the_dialect() {
        let set = MigrationSet::new().add("jobs", &[(1, "abc", "x")]).unwrap();
        let migration = set.iter().next().unwrap();
        assert_eq!(
            migration.checksum(Dialect::Sqlite),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_ne!(
            migration.checksum(Dialect::Sqlite),
            migration.checksum(Dialect::Postgres)
        );
    }
}
