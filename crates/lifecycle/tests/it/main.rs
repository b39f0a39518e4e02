//! The lifecycle as its users see it.

mod alerts;
mod axum_example;
mod build;
mod health;
mod hostile;
mod parallel;
mod ports;
mod random_graphs;
mod reports;
mod restarts;
mod rows;
mod signals;
mod start;
mod stop;
mod support;
#[cfg(unix)]
mod systemd;
