/// What a [`LockBackend`](crate::LockBackend) promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guarantees {
    /// Among whom there is one holder at a time.
    pub scope: Scope,
    /// How far the fences can be relied on.
    pub fencing: Fencing,
}

/// Among whom there is one holder at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Users of one backend value in one process.
    Process,
    /// Processes on one host.
    Host,
    /// Everybody who reaches the same server.
    Cluster,
}

/// How far fences can be relied on to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fencing {
    /// Always.
    Monotonic,
    /// Unless a server loses its data or its clock goes back.
    BestEffort,
}

impl Guarantees {
    /// A promise of this scope and fencing.
    #[must_use]
    pub fn new(scope: Scope, fencing: Fencing) -> Self {
        Self { scope, fencing }
    }
}
