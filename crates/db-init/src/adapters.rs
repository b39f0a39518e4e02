#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod limits;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
