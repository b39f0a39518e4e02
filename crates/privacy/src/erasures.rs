use std::{fmt, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::Retry;
use uuid::Uuid;

use crate::{
    BuildError, CodeHash, Connections, ErasedRows, Erasure, ErasureError, ErasureId, ErasureStatus,
    ErasureStore, PersonalData, PortError, TombstoneLog,
    stamps::{NewId, random_ids, stored_now},
};

/// How long after its request an erasure is carried out unless another time is set.
pub const ERASURE_GRACE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How many requests [`Erasures::list`] returns at most: a page of 200, and one that tells of a next.
pub const MAX_ERASURES: u32 = 201;

/// For how long after its completion the runs look for what is left of a user.
pub const STRAGGLERS: SignedDuration = SignedDuration::from_hours(24);

/// Erases users on request.
///
/// # Guarantees
///
/// - A user has one open request at a time. Until it is due it can be cancelled; from its beginning
///   on the user's credentials are worth nothing.
/// - The steps have an order: the schedules are cancelled, the connections closed, the credentials
///   revoked, the rows erased, the tombstone set, the receipt written. Each may be done again, so a
///   process may die anywhere: the next run goes on, and the receipt counts every row once.
/// - Rows go in batches with pauses.
/// - An erasure that does not get to its end is a failure and is tried again by the next run.
/// - What a request in flight has stored behind the erasure's back is erased by the runs of the
///   [day](STRAGGLERS) after it.
///
/// The runs are [`Privacy::erase`](crate::Privacy::erase), under one lock.
#[derive(Clone)]
pub struct Erasures {
    pub(crate) store: Arc<dyn ErasureStore>,
    pub(crate) data: Arc<dyn PersonalData>,
    pub(crate) connections: Arc<dyn Connections>,
    pub(crate) tombstones: Arc<dyn TombstoneLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) batch: u32,
    pub(crate) pause: Duration,
    pub(crate) retry: Arc<Retry>,
    grace: SignedDuration,
    new_id: NewId,
}

impl Erasures {
    /// Erases what is in `data` for the requests in `store`.
    ///
    /// # Errors
    ///
    /// Never with the settings that this file names.
    pub fn new(
        store: Arc<dyn ErasureStore>,
        data: Arc<dyn PersonalData>,
        connections: Arc<dyn Connections>,
        tombstones: Arc<dyn TombstoneLog>,
    ) -> Result<Self, BuildError> {
        let retry = Retry::builder().name("erasure").max_attempts(4);
        let retry = retry.deadline(Duration::from_secs(20)).build();
        let retry = retry.map_err(|error| BuildError {
            field: "retry".to_owned(),
            problem: error.to_string(),
        })?;
        Ok(Self {
            store,
            data,
            connections,
            tombstones,
            clock: Arc::new(SystemClock),
            batch: 500,
            pause: Duration::from_millis(50),
            retry: Arc::new(retry),
            grace: ERASURE_GRACE,
            new_id: random_ids(),
        })
    }

    /// Replaces the clock; the machine's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how many rows one transaction erases, at least one; 500 by default.
    #[must_use]
    pub fn batch(mut self, rows: u32) -> Self {
        self.batch = rows.max(1);
        self
    }

    /// Sets the time between two batches; 50 ms by default.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sets how long after its request an erasure is carried out; [`ERASURE_GRACE`] by default.
    #[must_use]
    pub fn grace(mut self, grace: SignedDuration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets where the ids of requests come from, given the time; UUIDv7 with the system's
    /// randomness by default.
    #[must_use]
    pub fn ids(mut self, new_id: impl Fn(Timestamp) -> Uuid + Send + Sync + 'static) -> Self {
        self.new_id = Arc::new(new_id);
        self
    }

    /// Asks for the erasure of a user, after the grace or, if it `is_urgent`, by the next run.
    /// Whoever shows the code with this hash may read the receipt.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the request is there or not.
    ///
    /// # Errors
    ///
    /// [`Open`](ErasureError::Open) if the user has an open request,
    /// [`Store`](ErasureError::Store).
    pub async fn request(
        &self,
        user: Uuid,
        code: Option<CodeHash>,
        is_urgent: bool,
    ) -> Result<Erasure, ErasureError> {
        let now = self.now();
        let grace = if is_urgent {
            SignedDuration::ZERO
        } else {
            self.grace
        };
        let erasure = Erasure {
            due_at: now.checked_add(grace).unwrap_or(Timestamp::MAX),
            ..self.new_erasure(user, now, ErasureStatus::Pending)
        };
        let open = self.store.insert(&erasure, code).await;
        match open.map_err(failed("store the request"))? {
            None => Ok(erasure),
            Some(open) => Err(ErasureError::Open {
                erasure: Box::new(open),
            }),
        }
    }

    /// Cancels a pending request, and answers how it is then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is cancelled or not.
    ///
    /// # Errors
    ///
    /// [`Find`](ErasureError::Find), [`NotPending`](ErasureError::NotPending) if it has begun or is
    /// over, [`Store`](ErasureError::Store).
    pub async fn cancel(&self, id: ErasureId) -> Result<Erasure, ErasureError> {
        let cancelled = self.store.cancel(id, self.now()).await;
        let cancelled = cancelled.map_err(failed("cancel the request"))?;
        let erasure = self.get(id).await?;
        match erasure.status {
            _ if cancelled => Ok(erasure),
            status => Err(ErasureError::NotPending { id, status }),
        }
    }

    /// One request.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Find`](ErasureError::Find), [`Store`](ErasureError::Store).
    pub async fn get(&self, id: ErasureId) -> Result<Erasure, ErasureError> {
        let found = self.store.get(id).await;
        let found = found.map_err(failed("read the request"))?;
        found.ok_or(ErasureError::Find { id })
    }

    /// The request whose receipt code has that hash.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Store`](ErasureError::Store).
    pub async fn by_code(&self, code: CodeHash) -> Result<Option<Erasure>, ErasureError> {
        let found = self.store.by_code(code).await;
        found.map_err(failed("find the receipt"))
    }

    /// Up to `limit` requests, at most [`MAX_ERASURES`], of one user if it is given, with ids below
    /// `before`, the newest first.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Store`](ErasureError::Store).
    pub async fn list(
        &self,
        user: Option<Uuid>,
        before: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, ErasureError> {
        let found = self.store.list(user, before, limit.min(MAX_ERASURES)).await;
        found.map_err(failed("list the requests"))
    }

    /// How many rows of each table an erasure of the user would erase now; nothing is changed.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Store`](ErasureError::Store).
    pub async fn preview(&self, user: Uuid) -> Result<Vec<ErasedRows>, ErasureError> {
        let mut tables = Vec::new();
        for table in self.data.tables() {
            let rows = self.data.count(user, table).await;
            let rows = rows.map_err(failed("count rows"))?;
            if rows > 0 {
                let table = table.to_owned();
                tables.push(ErasedRows { table, rows });
            }
        }
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        Ok(tables)
    }

    /// How many open requests were due before `before`.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Store`](ErasureError::Store).
    pub async fn count_overdue(&self, before: Timestamp) -> Result<u64, ErasureError> {
        let count = self.store.count_overdue(before).await;
        count.map_err(failed("count overdue requests"))
    }

    /// A request of now that has no grace.
    pub(crate) fn new_erasure(&self, user: Uuid, now: Timestamp, status: ErasureStatus) -> Erasure {
        Erasure {
            id: ErasureId::new((self.new_id)(now)),
            user_id: user,
            requested_at: now,
            due_at: now,
            status,
            finished_at: None,
            error: None,
            receipt: None,
        }
    }

    /// The time of day, cut to what every store can hold.
    pub(crate) fn now(&self) -> Timestamp {
        stored_now(&*self.clock)
    }
}

impl fmt::Debug for Erasures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erasures")
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

pub(crate) fn failed(action: &'static str) -> impl FnOnce(PortError) -> ErasureError {
    move |source| ErasureError::Store { action, source }
}
