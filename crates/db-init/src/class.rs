/// What a failure says about the next try.
///
/// Every adapter has one function that maps its driver's errors to a class; the tables are in
/// the documentation of `SqliteBackend` and `PostgresBackend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The server was not there or not ready; trying again is likely to help.
    Transient,
    /// It is not known whether the work was done, because the connection broke around a commit.
    ///
    /// A new attempt reads the ledger again, so it is as safe to repeat as a transient one.
    Ambiguous,
    /// Trying again may help once, but not for long: a full disk, a host name that does not
    /// resolve. At most two tries in one generation.
    Capped,
    /// Trying again cannot help: somebody must change something first.
    Permanent,
}

impl Class {
    /// Whether another try may help.
    #[must_use]
    pub fn is_transient(self) -> bool {
        self != Self::Permanent
    }
}
