/// Makes the store of one database; the statements are the same in both.
macro_rules! personal_store {
    ($(#[$doc:meta])* $name:ident, $database:ty, sqlite: $is_sqlite:literal, $snapshot:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            reader: $crate::adapters::GuardedPool<$database>,
            writer: $crate::adapters::GuardedPool<$database>,
        }

        impl $name {
            const IS_SQLITE: bool = $is_sqlite;

            async fn try_erase_batch(
                &self,
                request: ErasureId,
                user: Uuid,
                table: &PersonalTable,
                limit: u32,
            ) -> sqlx::Result<u64> {
                let mut tx = self.writer.begin().await?;
                let erased = sqlx::query(AssertSqlSafe(table.erase(Self::IS_SQLITE)))
                    .bind(user)
                    .bind(i64::from(limit))
                    .execute(&mut *tx)
                    .await?
                    .rows_affected();
                if erased > 0 {
                    sqlx::query(
                        "INSERT INTO erasure_rows (erasure_id, table_name, erased)
                         VALUES ($1, $2, $3) ON CONFLICT (erasure_id, table_name)
                         DO UPDATE SET erased = erasure_rows.erased + excluded.erased",
                    )
                    .bind(request.uuid())
                    .bind(table.name)
                    .bind(column(erased))
                    .execute(&mut *tx)
                    .await?;
                    tx.commit().await?;
                }
                Ok(erased)
            }

            async fn try_cancel_schedules(&self, user: Uuid) -> sqlx::Result<()> {
                // A fire stores nothing of a schedule that is not enabled; its job goes with the rows.
                sqlx::query(
                    "UPDATE schedule SET enabled = FALSE, version = version + 1
                     WHERE user_id = $1 AND enabled",
                )
                .bind(user)
                .execute(&self.writer)
                .await
                .map(drop)
            }

            async fn try_export(
                &self,
                user: Uuid,
                rows: &mpsc::Sender<ExportedRow>,
            ) -> sqlx::Result<()> {
                let mut snapshot = self.reader.begin().await?;
                sqlx::raw_sql($snapshot).execute(&mut *snapshot).await?;
                for table in PERSONAL_TABLES {
                    let query = sqlx::query(AssertSqlSafe(table.select(Self::IS_SQLITE)));
                    let mut found = query.bind(user).fetch(&mut *snapshot);
                    while let Some(row) = found.try_next().await? {
                        let row = ExportedRow {
                            table: table.name,
                            row: row.to_json(table)?,
                        };
                        if rows.send(row).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Ok(())
            }
        }

        #[async_trait]
        impl PersonalData for $name {
            fn tables(&self) -> Vec<&'static str> {
                let erased = PERSONAL_TABLES.iter().filter(|table| table.is_erased());
                erased.map(|table| table.name).collect()
            }

            async fn cancel_schedules(&self, user: Uuid) -> Result<(), PortError> {
                self.try_cancel_schedules(user).await.map_err(port_error)
            }

            async fn erase_batch(
                &self,
                request: ErasureId,
                user: Uuid,
                table: &'static str,
                limit: u32,
            ) -> Result<u64, PortError> {
                let table = declared(table)?;
                let erased = self.try_erase_batch(request, user, table, limit).await;
                erased.map_err(port_error)
            }

            async fn count(&self, user: Uuid, table: &'static str) -> Result<u64, PortError> {
                let count = sqlx::query_scalar(AssertSqlSafe(declared(table)?.count(Self::IS_SQLITE)));
                let count: i64 = count
                    .bind(user)
                    .fetch_one(&self.reader)
                    .await
                    .map_err(port_error)?;
                Ok(u64::try_from(count).unwrap_or_default())
            }
        }

        #[async_trait]
        impl PersonalExport for $name {
            async fn export(
                &self,
                user: Uuid,
                rows: mpsc::Sender<ExportedRow>,
            ) -> Result<(), PortError> {
                self.try_export(user, &rows).await.map_err(port_error)
            }
        }

        fn declared(table: &str) -> Result<&'static PersonalTable, PortError> {
            PersonalTable::named(table)
                .ok_or_else(|| PortError::permanent(format!("{table} is not declared as personal")))
        }
    };
}

pub(in crate::adapters) use personal_store;
