/// A table that holds something about users.
#[derive(Clone, Copy, Debug)]
pub struct PersonalTable {
    /// Its name.
    pub name: &'static str,
    /// The columns that name a row, with commas between.
    pub key: &'static str,
    /// Which rows are a user's.
    pub owned: Owned,
    /// Columns that an export leaves out: secrets and their hashes.
    pub hidden: &'static [&'static str],
    /// What an erasure does with the rows.
    pub erase: Erase,
}

/// Which rows of a table are a user's.
#[derive(Clone, Copy, Debug)]
pub enum Owned {
    /// Those with the user's id in this column.
    By(&'static str),
    /// Those that fulfil a condition about the user's id, `$1`.
    Where {
        /// In SQLite, where ids are blobs.
        sqlite: &'static str,
        /// In Postgres.
        postgres: &'static str,
    },
}

/// What an erasure does with a user's rows.
#[derive(Clone, Copy, Debug)]
pub enum Erase {
    /// They are deleted.
    Delete,
    /// They stay without what these columns hold.
    Blank {
        /// What tells something about the person.
        columns: &'static [&'static str],
        /// Why the rest stays, and why it tells nothing about the person.
        because: &'static str,
    },
    /// They stay.
    Keep {
        /// Why, and why they tell nothing about the person.
        because: &'static str,
    },
}

/// A UUID in a blob, as text.
macro_rules! uuid_text {
    ($column:literal) => {
        concat!(
            "lower(substr(hex(",
            $column,
            "), 1, 8) || '-' || substr(hex(",
            $column,
            "), 9, 4) || '-' || substr(hex(",
            $column,
            "), 13, 4) || '-' || substr(hex(",
            $column,
            "), 17, 4) || '-' || substr(hex(",
            $column,
            "), 21))"
        )
    };
}

/// Rows of the scheduler, whose keys are the ids of schedules.
const OF_THEIR_SCHEDULES: Owned = Owned::Where {
    sqlite: concat!(
        "ns = 'notifications' AND key IN (SELECT ",
        uuid_text!("id"),
        " FROM schedule WHERE user_id = $1)"
    ),
    postgres: "ns = 'notifications' AND key IN (SELECT id::text FROM schedule WHERE user_id = $1)",
};

const DELETED: PersonalTable = PersonalTable {
    name: "",
    key: "id",
    owned: Owned::By("user_id"),
    hidden: &[],
    erase: Erase::Delete,
};

/// Every table with a user's id, in the order in which rows are erased: what authenticates first,
/// what finds others last.
pub const PERSONAL_TABLES: &[PersonalTable] = &[
    PersonalTable {
        name: "session",
        key: "hash",
        hidden: &["hash"],
        ..DELETED
    },
    PersonalTable {
        name: "api_token",
        hidden: &["hash"],
        ..DELETED
    },
    PersonalTable {
        name: "channel",
        hidden: &["secret"],
        ..DELETED
    },
    PersonalTable {
        name: "delivery",
        ..DELETED
    },
    PersonalTable {
        name: "sched_job",
        key: "ns, key",
        owned: OF_THEIR_SCHEDULES,
        ..DELETED
    },
    PersonalTable {
        name: "sched_run",
        key: "ns, key, scheduled_for",
        owned: OF_THEIR_SCHEDULES,
        ..DELETED
    },
    PersonalTable {
        name: "occurrence",
        key: "schedule_id, scheduled_for",
        owned: Owned::Where {
            sqlite: "schedule_id IN (SELECT id FROM schedule WHERE user_id = $1)",
            postgres: "schedule_id IN (SELECT id FROM schedule WHERE user_id = $1)",
        },
        ..DELETED
    },
    PersonalTable {
        name: "schedule",
        ..DELETED
    },
    PersonalTable {
        name: "notification",
        ..DELETED
    },
    PersonalTable {
        name: "idempotency_key",
        key: "caller, name",
        // The answers hold what was published, also to users who are not the caller.
        owned: Owned::Where {
            // Quotes within a text are escaped in JSON: only the field itself is found.
            sqlite: concat!(
                "(caller = $1 OR instr(answer, '\"user_id\":\"' || ",
                uuid_text!("$1"),
                " || '\"') > 0)"
            ),
            postgres: "(caller = $1 OR strpos(answer, '\"user_id\":\"' || $1::text || '\"') > 0)",
        },
        hidden: &["body_hash"],
        ..DELETED
    },
    PersonalTable {
        name: "preference",
        key: "user_id",
        ..DELETED
    },
    PersonalTable {
        name: "user_event",
        key: "user_id, position",
        ..DELETED
    },
    PersonalTable {
        name: "user_log",
        key: "user_id",
        ..DELETED
    },
    PersonalTable {
        name: "audit_entry",
        erase: Erase::Blank {
            columns: &["address"],
            because: "who did what to others stays for its term; the id names nobody any more",
        },
        ..DELETED
    },
    PersonalTable {
        name: "account",
        owned: Owned::By("id"),
        hidden: &["password"],
        ..DELETED
    },
    PersonalTable {
        name: "erasure",
        hidden: &["code_hash"],
        erase: Erase::Keep {
            because: "it is the receipt: times and numbers under an id that names nobody any more",
        },
        ..DELETED
    },
    PersonalTable {
        name: "tombstone",
        key: "user_id",
        erase: Erase::Keep {
            because: "a restored backup must be told who is gone; the id names nobody any more",
        },
        ..DELETED
    },
];

impl PersonalTable {
    /// The table of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PERSONAL_TABLES.iter().find(|table| table.name == name)
    }

    /// Whether an erasure changes its rows.
    #[must_use]
    pub const fn is_erased(&self) -> bool {
        !matches!(self.erase, Erase::Keep { .. })
    }

    /// Reads all of a user's rows, `$1`.
    #[must_use]
    pub fn select(&self, is_sqlite: bool) -> String {
        let Self { name, key, .. } = self;
        let owned = self.owned(is_sqlite);
        format!("SELECT * FROM {name} WHERE {owned} ORDER BY {key}")
    }

    /// Counts a user's rows, `$1`, that an erasure would change.
    #[must_use]
    pub fn count(&self, is_sqlite: bool) -> String {
        let left = self.left(is_sqlite);
        format!("SELECT count(*) FROM {} WHERE {left}", self.name)
    }

    /// Erases `$2` of a user's rows, `$1`, at most.
    #[must_use]
    pub fn erase(&self, is_sqlite: bool) -> String {
        let Self { name, key, .. } = self;
        let change = match self.erase {
            Erase::Blank { columns, .. } => {
                let blank: Vec<_> = columns.iter().map(|it| format!("{it} = NULL")).collect();
                format!("UPDATE {name} SET {}", blank.join(", "))
            }
            Erase::Delete | Erase::Keep { .. } => format!("DELETE FROM {name}"),
        };
        let left = self.left(is_sqlite);
        format!("{change} WHERE ({key}) IN (SELECT {key} FROM {name} WHERE {left} LIMIT $2)")
    }

    /// The condition of rows that an erasure has not changed yet.
    fn left(&self, is_sqlite: bool) -> String {
        let owned = self.owned(is_sqlite);
        match self.erase {
            Erase::Blank { columns, .. } => {
                let held: Vec<_> = columns
                    .iter()
                    .map(|it| format!("{it} IS NOT NULL"))
                    .collect();
                format!("{owned} AND ({})", held.join(" OR "))
            }
            Erase::Delete | Erase::Keep { .. } => owned,
        }
    }

    fn owned(&self, is_sqlite: bool) -> String {
        match self.owned {
            Owned::By(column) => format!("{column} = $1"),
            Owned::Where { sqlite, .. } if is_sqlite => sqlite.to_owned(),
            Owned::Where { postgres, .. } => postgres.to_owned(),
        }
    }
}
