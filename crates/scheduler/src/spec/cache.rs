//! Shares the memory and the parsing of equal specs.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use super::{Compiled, SpecError};
use crate::Dialect;

/// Specs kept although nobody uses them: at most this many, or as many as are in use.
const IDLE: usize = 1_024;

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

struct Cache {
    /// By dialect, so that a look-up needs no owned key.
    specs: [HashMap<Box<str>, Arc<Compiled>>; 2],
    /// The size at which unused specs are dropped.
    limit: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            specs: Default::default(),
            limit: IDLE,
        }
    }
}

pub(super) fn get_or_insert(
    dialect: Dialect,
    text: &str,
    compile: impl FnOnce() -> Result<Arc<Compiled>, SpecError>,
) -> Result<Arc<Compiled>, SpecError> {
    let lock = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = lock().specs[dialect as usize].get(text) {
        return Ok(compiled.clone());
    }
    let compiled = compile()?;
    let mut cache = lock();
    cache.make_room();
    let entry = cache.specs[dialect as usize].entry(text.into());
    Ok(entry.or_insert(compiled).clone())
}

impl Cache {
    fn make_room(&mut self) {
        if self.len() >= self.limit {
            for specs in &mut self.specs {
                specs.retain(|_, compiled| Arc::strong_count(compiled) > 1);
            }
            self.limit = (2 * self.len()).max(IDLE);
        }
    }

    fn len(&self) -> usize {
        self.specs.iter().map(HashMap::len).sum()
    }
}
