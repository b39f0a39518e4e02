use std::collections::BTreeMap;

use crate::{Dialect, Migration, MigrationError, MigrationId, MigrationSet};

/// One row of the table `steadfast_migration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerRow {
    pub(crate) id: MigrationId,
    pub(crate) checksum: String,
}

/// The migrations of `set` that `ledger` does not have, in order, after a check that the two do
/// not contradict each other.
pub(crate) fn plan(
    ledger: Vec<LedgerRow>,
    set: &MigrationSet,
    dialect: Dialect,
) -> Result<Vec<&Migration>, MigrationError> {
    let mut applied: BTreeMap<MigrationId, String> = ledger
        .into_iter()
        .map(|row| (row.id, row.checksum))
        .collect();
    let newest: BTreeMap<String, u32> = applied
        .keys()
        .map(|id| (id.crate_name.clone(), id.version))
        .collect();

    let mut pending = Vec::new();
    for migration in set.iter() {
        let id = migration.id();
        let ours = migration.checksum(dialect);
        match applied.remove(&id) {
            Some(applied) if applied == ours => {}
            Some(applied) => return Err(MigrationError::ChecksumMismatch { id, applied, ours }),
            None => match newest.get(&id.crate_name) {
                Some(&newer) if newer > id.version => {
                    return Err(MigrationError::MissingVersion { missing: id, newer });
                }
                _ => pending.push(migration),
            },
        }
    }
    match applied.into_keys().next_back() {
        None => Ok(pending),
        Some(id) if set.contains_crate(&id.crate_name) => {
            let known = newest_known(set, &id.crate_name);
            Err(MigrationError::UnknownVersion { id, known })
        }
        Some(id) => Err(MigrationError::UnknownCrate { id }),
    }
}

fn newest_known(set: &MigrationSet, crate_name: &str) -> u32 {
    set.iter()
        .filter(|migration| migration.crate_name() == crate_name)
        .map(Migration::version)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> MigrationSet {
        MigrationSet::new()
            .add("jobs", &[(1, "a", "A"), (2, "b", "B")])
            .unwrap()
            .add("hub", &[(1, "c", "C")])
            .unwrap()
    }

    fn rows(set: &MigrationSet) -> Vec<LedgerRow> {
        set.iter()
            .map(|migration| LedgerRow {
                id: migration.id(),
                checksum: migration.checksum(Dialect::Sqlite),
            })
            .collect()
    }

    fn planned(ledger: Vec<LedgerRow>) -> Result<Vec<String>, MigrationError> {
        plan(ledger, &set(), Dialect::Sqlite)
            .map(|plan| plan.iter().map(|m| m.id().to_string()).collect())
    }

    fn row(crate_name: &str, version: u32) -> LedgerRow {
        LedgerRow {
            id: MigrationId::new(crate_name, version),
            checksum: "x".to_owned(),
        }
    }

    #[test]
    fn empty_ledger_plans_everything_in_order() {
        assert_eq!(planned(vec![]).unwrap(), ["jobs 1", "jobs 2", "hub 1"]);
    }

    #[test]
    fn complete_ledger_plans_nothing() {
        assert!(planned(rows(&set())).unwrap().is_empty());
    }

    #[test]
    fn partial_ledger_plans_the_rest() {
        let ledger = rows(&set()).into_iter().take(1).collect();
        assert_eq!(planned(ledger).unwrap(), ["jobs 2", "hub 1"]);
    }

    #[test]
    fn changed_sql_is_a_checksum_mismatch() {
        let error = planned(vec![row("jobs", 1)]).unwrap_err();
        assert!(
            matches!(&error, MigrationError::ChecksumMismatch { id, applied, .. }
            if id.to_string() == "jobs 1" && applied == "x")
        );
        assert!(error.to_string().contains("new migration"));
    }

    #[test]
    fn newer_version_in_the_ledger_is_named() {
        let mut ledger = rows(&set());
        ledger.push(row("jobs", 7));
        let error = planned(ledger).unwrap_err();
        assert!(
            matches!(&error, MigrationError::UnknownVersion { id, known: 2 }
            if id.to_string() == "jobs 7")
        );
    }

    #[test]
    fn unknown_crate_in_the_ledger_is_named() {
        let mut ledger = rows(&set());
        ledger.push(row("audit", 1));
        assert!(
            matches!(planned(ledger), Err(MigrationError::UnknownCrate { id })
            if id.to_string() == "audit 1")
        );
    }

    #[test]
    fn gap_in_the_ledger_is_named() {
        let ledger = rows(&set()).into_iter().skip(1).collect();
        assert!(
            matches!(planned(ledger), Err(MigrationError::MissingVersion { missing, newer: 2 })
            if missing.to_string() == "jobs 1")
        );
    }
}
