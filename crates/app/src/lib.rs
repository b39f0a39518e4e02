//! The composed service.
