use super::{Columns, broken};
use crate::accounts::{Role, Scope, SecretHash, Token, User, Username};

/// Reads a user from `account_id`, `username`, `role` and `account_created_at`.
pub(in crate::adapters) fn user(row: &impl Columns) -> sqlx::Result<User> {
    let username = Username::parse(row.text("username")?);
    Ok(User {
        id: row.id("account_id")?,
        username: username.map_err(|rule| broken("username", rule))?,
        role: row.named("role", Role::named)?,
        created_at: row.time("account_created_at")?,
    })
}

/// Reads a token from the columns of its table.
pub(in crate::adapters) fn token(row: &impl Columns) -> sqlx::Result<Token> {
    let hash = row.bytes("hash")?.try_into();
    let hash = hash.map_err(|_| broken("hash", "is not 32 bytes long"))?;
    Ok(Token {
        id: row.id("id")?,
        hash: SecretHash::from_bytes(hash),
        user_id: row.id("user_id")?,
        name: row.text("name")?.to_owned(),
        // A scope that this version does not know allows nothing.
        scopes: row
            .text("scopes")?
            .split(' ')
            .filter_map(Scope::named)
            .collect(),
        created_at: row.time("created_at")?,
        expires_at: row.optional_time("expires_at")?,
    })
}

/// A token's scopes, as their column holds them.
pub(in crate::adapters) fn scope_names(token: &Token) -> String {
    let names: Vec<_> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    names.join(" ")
}
