//! Who may use the service: users, their sessions and API tokens, and the set-up of the first one.

mod credential;
mod error;
mod leaving;
mod login_limits;
mod password;
mod ports;
mod principal;
mod scope;
mod service;
mod setup_gate;
mod user;

pub use credential::{Secret, SecretHash};
pub use error::AccountError;
pub use password::Passwords;
#[cfg(test)]
pub use ports::MockAccountStore;
pub use ports::{AccountStore, Session, StoreError, StoredUser, Token};
pub use principal::{Principal, Via};
pub use scope::Scope;
pub use service::{Accounts, LoggedIn};
pub use setup_gate::SetupGate;
pub use user::{Role, User, Username};
