//! Retention, erasure, export and compliance of personal data: rules and ports.
