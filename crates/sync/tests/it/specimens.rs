//! Specimens: the original's broken algorithms, each with a checker that our own primitive passes
//! and that has to find the fault in the specimen. A checker that cannot fail shows nothing.

mod check_then_act;
mod double_release;
mod dropped_updates;
mod early_return;
mod unawaited_wait;
mod unbounded_half_open;

/// What a checker says of its subject: nothing, or what it did wrong.
type Checked = Result<(), String>;
