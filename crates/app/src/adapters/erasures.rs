/// Makes the store of requests for erasure of one database; the statements are the same in both.
macro_rules! erasure_store {
    ($(#[$doc:meta])* $name:ident, $database:ty, $row:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            reader: $crate::adapters::GuardedPool<$database>,
            writer: $crate::adapters::GuardedPool<$database>,
        }

        impl $name {
            async fn try_insert(
                &self,
                erasure: &Erasure,
                code: Option<CodeHash>,
            ) -> sqlx::Result<Option<Erasure>> {
                // Again, if the open one is closed between the two statements.
                for _ in 0..MAX_ROUNDS {
                    let done = sqlx::query(INSERT)
                        .bind(erasure.id.uuid())
                        .bind(erasure.user_id)
                        .bind(erasure.requested_at.as_microsecond())
                        .bind(erasure.due_at.as_microsecond())
                        .bind(erasure.status.name())
                        .bind(code.map(Vec::from))
                        .execute(&self.writer)
                        .await?;
                    if done.rows_affected() == 1 {
                        return Ok(None);
                    }
                    let open = sqlx::query(OPEN).bind(erasure.user_id);
                    let open = open.try_map(|row: $row| read_erasure(&row));
                    if let Some(open) = open.fetch_optional(&self.writer).await? {
                        return Ok(Some(open));
                    }
                }
                Err(sqlx::Error::RowNotFound)
            }

            /// Adds their receipts to those that are completed.
            async fn with_receipts(&self, mut erasures: Vec<Erasure>) -> sqlx::Result<Vec<Erasure>> {
                let completed = erasures
                    .iter_mut()
                    .filter(|erasure| erasure.status == ErasureStatus::Completed);
                for erasure in completed {
                    let rows = sqlx::query(ROWS).bind(erasure.id.uuid());
                    let rows = rows.try_map(|row: $row| erased_rows(&row));
                    let tables = rows.fetch_all(&self.reader).await?;
                    erasure.receipt = receipt(erasure, tables);
                }
                Ok(erasures)
            }

            async fn try_complete(&self, tombstone: &Tombstone) -> sqlx::Result<Receipt> {
                let mut tx = self.writer.begin().await?;
                sqlx::query(COMPLETE)
                    .bind(tombstone.request_id.uuid())
                    .bind(tombstone.erased_at.as_microsecond())
                    .execute(&mut *tx)
                    .await?;
                let erasure = sqlx::query(GET).bind(tombstone.request_id.uuid());
                let mut erasure = erasure
                    .try_map(|row: $row| read_erasure(&row))
                    .fetch_one(&mut *tx)
                    .await?;
                sqlx::query(BURY)
                    .bind(tombstone.user_id)
                    .bind(tombstone.request_id.uuid())
                    .bind(tombstone.erased_at.as_microsecond())
                    .execute(&mut *tx)
                    .await?;
                let rows = sqlx::query(ROWS).bind(tombstone.request_id.uuid());
                let rows = rows.try_map(|row: $row| erased_rows(&row));
                let tables = rows.fetch_all(&mut *tx).await?;
                erasure.receipt = receipt(&erasure, tables);
                // Otherwise it was neither running nor completed, and the tombstone goes back.
                let receipt = erasure.receipt.ok_or(sqlx::Error::RowNotFound)?;
                tx.commit().await?;
                Ok(receipt)
            }
        }

        #[async_trait]
        impl ErasureStore for $name {
            async fn insert(
                &self,
                erasure: &Erasure,
                code: Option<CodeHash>,
            ) -> Result<Option<Erasure>, PortError> {
                self.try_insert(erasure, code).await.map_err(port_error)
            }

            async fn get(&self, id: ErasureId) -> Result<Option<Erasure>, PortError> {
                let found = sqlx::query(GET).bind(id.uuid());
                let found = found.try_map(|row: $row| read_erasure(&row));
                let found = found.fetch_all(&self.reader).await.map_err(port_error)?;
                let mut found = self.with_receipts(found).await.map_err(port_error)?;
                Ok(found.pop())
            }

            async fn by_code(&self, code: CodeHash) -> Result<Option<Erasure>, PortError> {
                let found = sqlx::query(BY_CODE).bind(code.to_vec());
                let found = found.try_map(|row: $row| read_erasure(&row));
                let found = found.fetch_all(&self.reader).await.map_err(port_error)?;
                let mut found = self.with_receipts(found).await.map_err(port_error)?;
                Ok(found.pop())
            }

            async fn list(
                &self,
                user: Option<Uuid>,
                before: Option<ErasureId>,
                limit: u32,
            ) -> Result<Vec<Erasure>, PortError> {
                let query = match user {
                    None => sqlx::query(LIST),
                    Some(_) => sqlx::query(LIST_OF_USER),
                };
                let query = query
                    .bind(before.map_or(Uuid::max(), ErasureId::uuid))
                    .bind(i64::from(limit));
                let query = match user {
                    None => query,
                    Some(user) => query.bind(user),
                };
                let found = query.try_map(|row: $row| read_erasure(&row));
                let found = found.fetch_all(&self.reader).await.map_err(port_error)?;
                self.with_receipts(found).await.map_err(port_error)
            }

            async fn due(
                &self,
                now: Timestamp,
                after: Option<ErasureId>,
                limit: u32,
            ) -> Result<Vec<Erasure>, PortError> {
                let found = sqlx::query(DUE)
                    .bind(now.as_microsecond())
                    .bind(after.map_or(Uuid::nil(), ErasureId::uuid))
                    .bind(i64::from(limit))
                    .try_map(|row: $row| read_erasure(&row));
                found.fetch_all(&self.reader).await.map_err(port_error)
            }

            async fn completed_since(
                &self,
                since: Timestamp,
                after: Option<ErasureId>,
                limit: u32,
            ) -> Result<Vec<Erasure>, PortError> {
                let found = sqlx::query(COMPLETED)
                    .bind(since.as_microsecond())
                    .bind(after.map_or(Uuid::nil(), ErasureId::uuid))
                    .bind(i64::from(limit))
                    .try_map(|row: $row| read_erasure(&row));
                let found = found.fetch_all(&self.reader).await.map_err(port_error)?;
                self.with_receipts(found).await.map_err(port_error)
            }

            async fn cancel(&self, id: ErasureId, at: Timestamp) -> Result<bool, PortError> {
                let done = sqlx::query(CANCEL).bind(id.uuid()).bind(at.as_microsecond());
                let done = done.execute(&self.writer).await.map_err(port_error)?;
                Ok(done.rows_affected() == 1)
            }

            async fn begin(&self, id: ErasureId) -> Result<bool, PortError> {
                let done = sqlx::query(BEGIN).bind(id.uuid()).execute(&self.writer).await;
                Ok(done.map_err(port_error)?.rows_affected() == 1)
            }

            async fn fail(&self, id: ErasureId, error: &str) -> Result<(), PortError> {
                let done = sqlx::query(FAIL).bind(id.uuid()).bind(error);
                done.execute(&self.writer).await.map(drop).map_err(port_error)
            }

            async fn complete(&self, tombstone: &Tombstone) -> Result<Receipt, PortError> {
                self.try_complete(tombstone).await.map_err(port_error)
            }

            async fn count_overdue(&self, before: Timestamp) -> Result<u64, PortError> {
                let count = sqlx::query_scalar(OVERDUE).bind(before.as_microsecond());
                let count: i64 = count.fetch_one(&self.reader).await.map_err(port_error)?;
                Ok(u64::try_from(count).unwrap_or_default())
            }

            async fn without_tombstone(&self, users: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
                let mut unknown = Vec::new();
                for user in users {
                    let buried = sqlx::query_scalar(IS_BURIED).bind(user);
                    let buried: bool = buried.fetch_one(&self.reader).await.map_err(port_error)?;
                    if !buried {
                        unknown.push(*user);
                    }
                }
                Ok(unknown)
            }
        }
    };
}

pub(super) use erasure_store;

/// How often a request is added while open ones keep being closed.
pub(super) const MAX_ROUNDS: u32 = 8;

pub(super) const INSERT: &str = "INSERT INTO erasure
     (id, user_id, requested_at, due_at, status, code_hash) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (user_id) WHERE status IN ('pending', 'running', 'failed') DO NOTHING";

pub(super) const OPEN: &str = "SELECT * FROM erasure
     WHERE user_id = $1 AND status IN ('pending', 'running', 'failed')";

pub(super) const GET: &str = "SELECT * FROM erasure WHERE id = $1";

pub(super) const BY_CODE: &str = "SELECT * FROM erasure WHERE code_hash = $1";

pub(super) const LIST: &str = "SELECT * FROM erasure WHERE id < $1 ORDER BY id DESC LIMIT $2";

pub(super) const LIST_OF_USER: &str = "SELECT * FROM erasure
     WHERE user_id = $3 AND id < $1 ORDER BY id DESC LIMIT $2";

pub(super) const DUE: &str = "SELECT * FROM erasure
     WHERE status IN ('pending', 'running', 'failed') AND due_at <= $1 AND id > $2
     ORDER BY id LIMIT $3";

pub(super) const COMPLETED: &str = "SELECT * FROM erasure
     WHERE status = 'completed' AND finished_at >= $1 AND id > $2 ORDER BY id LIMIT $3";

pub(super) const CANCEL: &str = "UPDATE erasure SET status = 'cancelled', finished_at = $2
     WHERE id = $1 AND status = 'pending'";

pub(super) const BEGIN: &str = "UPDATE erasure SET status = 'running'
     WHERE id = $1 AND status IN ('pending', 'running', 'failed')";

pub(super) const FAIL: &str = "UPDATE erasure SET status = 'failed', error = $2
     WHERE id = $1 AND status = 'running'";

pub(super) const COMPLETE: &str = "UPDATE erasure
     SET status = 'completed', finished_at = $2, error = NULL WHERE id = $1 AND status = 'running'";

pub(super) const BURY: &str = "INSERT INTO tombstone (user_id, request_id, erased_at)
     VALUES ($1, $2, $3) ON CONFLICT (user_id) DO NOTHING";

pub(super) const ROWS: &str = "SELECT table_name, erased FROM erasure_rows WHERE erasure_id = $1";

pub(super) const OVERDUE: &str = "SELECT count(*) FROM erasure
     WHERE status IN ('pending', 'running', 'failed') AND due_at < $1";

pub(super) const IS_BURIED: &str = "SELECT EXISTS (SELECT 1 FROM tombstone WHERE user_id = $1)";
