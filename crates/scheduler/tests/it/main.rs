//! The crate as its users see it.

mod cases;
mod expressions;
mod oracle;
mod zones;
