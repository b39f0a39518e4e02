//! Dependency-ordered start, rollback, health, signals, drain and reverse stop of an application's services.
