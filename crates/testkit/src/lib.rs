//! Private Postgres and Redis servers, fault proxy and stress helpers for Steadfast's tests.
