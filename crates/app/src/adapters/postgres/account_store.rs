use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{
    Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use uuid::Uuid;

use crate::{
    accounts::{AccountStore, SecretHash, Session, StoreError, StoredUser, Token, User, Username},
    adapters::{
        GuardedPool,
        rows::{Columns as _, is_transient, scope_names, token, user},
    },
};

/// The key of the advisory lock that one set-up at a time holds: nothing but a number of our own.
const SETUP_LOCK: i64 = 0x5345_5455_5046_5354;

/// Users, sessions and tokens in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresAccountStore {
    pool: GuardedPool<Postgres>,
}

impl PostgresAccountStore {
    /// On a database that has [`ACCOUNT_MIGRATIONS`](crate::adapters::ACCOUNT_MIGRATIONS).
    #[must_use]
    pub fn new(pool: GuardedPool<Postgres>) -> Self {
        Self { pool }
    }

    async fn try_create_first_admin(&self, user: &StoredUser) -> sqlx::Result<bool> {
        let mut tx = self.pool.begin().await?;
        // Two statements: what the second one sees begins after the lock is ours, so that it
        // sees the administrator of whoever had it before.
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(SETUP_LOCK)
            .execute(&mut *tx)
            .await?;
        let done = insert_user(
            "INSERT INTO account (id, username, password, role, created_at)
             SELECT $1, $2, $3, $4, $5
             WHERE NOT EXISTS (SELECT 1 FROM account WHERE role = 'admin')
             ON CONFLICT (username) DO NOTHING",
            user,
        );
        let done = done.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}

#[async_trait]
impl AccountStore for PostgresAccountStore {
    async fn has_admin(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM account WHERE role = 'admin')")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("looking for an administrator"))
    }

    async fn has_admin_besides(&self, id: Uuid) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM account WHERE role = 'admin' AND id <> $1
                 AND NOT EXISTS (SELECT 1 FROM erasure WHERE erasure.user_id = account.id
                     AND erasure.status IN ('pending', 'running', 'failed')))",
        )
        .bind(id)
        .fetch_one(&self.pool)
        .await
        .map_err(failed("looking for another administrator"))
    }

    async fn create_first_admin(&self, user: &StoredUser) -> Result<bool, StoreError> {
        self.try_create_first_admin(user)
            .await
            .map_err(failed("storing the first administrator"))
    }

    async fn create_user(&self, user: &StoredUser) -> Result<bool, StoreError> {
        let done = insert_user(
            "INSERT INTO account (id, username, password, role, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (username) DO NOTHING",
            user,
        );
        let done = done.execute(&self.pool).await;
        Ok(done.map_err(failed("storing a user"))?.rows_affected() == 1)
    }

    async fn user_by_name(&self, username: &Username) -> Result<Option<StoredUser>, StoreError> {
        sqlx::query(
            "SELECT id AS account_id, username, role, created_at AS account_created_at, password
             FROM present_account WHERE username = $1",
        )
        .bind(username.as_str())
        .try_map(|row: PgRow| {
            Ok(StoredUser {
                user: user(&row)?,
                password: row.text("password")?.to_owned(),
            })
        })
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("reading a user"))
    }

    async fn user_exists(&self, id: Uuid) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM present_account WHERE id = $1)")
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("looking for a user"))
    }

    async fn users(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<User>, StoreError> {
        sqlx::query(
            "SELECT id AS account_id, username, role, created_at AS account_created_at
             FROM account WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after.unwrap_or(Uuid::nil()))
        .bind(i64::from(limit))
        .try_map(|row: PgRow| user(&row))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("listing users"))
    }

    async fn create_session(&self, session: &Session) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO session (hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(session.hash.as_bytes().as_slice())
        .bind(session.user_id)
        .bind(session.created_at.as_microsecond())
        .bind(session.expires_at.as_microsecond())
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed("storing a session"))
    }

    async fn session(&self, hash: &SecretHash) -> Result<Option<(Session, User)>, StoreError> {
        let hash = *hash;
        sqlx::query(
            "SELECT session.created_at, session.expires_at,
                    account.id AS account_id, account.username, account.role,
                    account.created_at AS account_created_at
             FROM session JOIN present_account AS account ON account.id = session.user_id WHERE session.hash = $1",
        )
        .bind(hash.as_bytes().as_slice())
        .try_map(move |row: PgRow| {
            let user = user(&row)?;
            let session = Session {
                hash,
                user_id: user.id,
                created_at: row.time("created_at")?,
                expires_at: row.time("expires_at")?,
            };
            Ok((session, user))
        })
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("reading a session"))
    }

    async fn delete_session(&self, hash: &SecretHash) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM session WHERE hash = $1")
            .bind(hash.as_bytes().as_slice())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed("deleting a session"))
    }

    async fn create_token(&self, token: &Token) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO api_token (id, hash, user_id, name, scopes, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token.id)
        .bind(token.hash.as_bytes().as_slice())
        .bind(token.user_id)
        .bind(&token.name)
        .bind(scope_names(token))
        .bind(token.created_at.as_microsecond())
        .bind(token.expires_at.map(Timestamp::as_microsecond))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed("storing a token"))
    }

    async fn token(&self, hash: &SecretHash) -> Result<Option<(Token, User)>, StoreError> {
        sqlx::query(
            "SELECT api_token.id, api_token.hash, api_token.user_id, api_token.name,
                    api_token.scopes, api_token.created_at, api_token.expires_at,
                    account.id AS account_id, account.username, account.role,
                    account.created_at AS account_created_at
             FROM api_token JOIN present_account AS account ON account.id = api_token.user_id
             WHERE api_token.hash = $1",
        )
        .bind(hash.as_bytes().as_slice())
        .try_map(|row: PgRow| Ok((token(&row)?, user(&row)?)))
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("reading a token"))
    }

    async fn tokens(
        &self,
        user_id: Uuid,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Token>, StoreError> {
        sqlx::query(
            "SELECT id, hash, user_id, name, scopes, created_at, expires_at FROM api_token
             WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(user_id)
        .bind(after.unwrap_or(Uuid::nil()))
        .bind(i64::from(limit))
        .try_map(|row: PgRow| token(&row))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("listing tokens"))
    }

    async fn delete_token(&self, user_id: Uuid, id: Uuid) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM api_token WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user_id)
            .execute(&self.pool)
            .await;
        Ok(done.map_err(failed("deleting a token"))?.rows_affected() == 1)
    }
}

fn insert_user<'q>(sql: &'static str, stored: &'q StoredUser) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(sql)
        .bind(stored.user.id)
        .bind(stored.user.username.as_str())
        .bind(stored.password.as_str())
        .bind(stored.user.role.as_str())
        .bind(stored.user.created_at.as_microsecond())
}

fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| StoreError::new(operation, is_transient::<Postgres>(&error), error)
}
