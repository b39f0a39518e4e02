//! What tells the four types apart. Both traits are sealed: this module is private.

use std::{marker::PhantomData, sync::Arc};

use super::{
    Edges, KeyedPaced, Paced,
    core::{Core, Kind},
};

/// How long a window lasts: [`Debouncing`](crate::Debouncing) or
/// [`Throttling`](crate::Throttling). Sealed.
pub trait Pacing: sealed::Sealed {
    /// What the duration of a window is called.
    #[doc(hidden)]
    const WINDOW: &'static str;
    /// Whether each call makes the window begin anew.
    #[doc(hidden)]
    const SLIDES: bool;
    /// Which calls are run unless the builder says otherwise.
    #[doc(hidden)]
    const EDGES: Edges;
    #[doc(hidden)]
    const KIND: Kind;
    #[doc(hidden)]
    const KEYED_KIND: Kind;
}

/// A window ends when there was no call for a while: the `P` of a [`Debounce`](crate::Debounce).
#[derive(Clone, Copy, Debug)]
pub enum Debouncing {}

/// A window ends a while after it was opened: the `P` of a [`Throttle`](crate::Throttle).
#[derive(Clone, Copy, Debug)]
pub enum Throttling {}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for Debouncing {}
impl sealed::Sealed for Throttling {}

impl Pacing for Debouncing {
    const WINDOW: &'static str = "wait";
    const SLIDES: bool = true;
    const EDGES: Edges = Edges::Trailing;
    const KIND: Kind = Kind::Debounce;
    const KEYED_KIND: Kind = Kind::KeyedDebounce;
}

impl Pacing for Throttling {
    const WINDOW: &'static str = "interval";
    const SLIDES: bool = false;
    const EDGES: Edges = Edges::Both;
    const KIND: Kind = Kind::Throttle;
    const KEYED_KIND: Kind = Kind::KeyedThrottle;
}

/// What a builder can build.
pub trait Front {
    type Key;
    type Value;
    type Pacing: Pacing;
    const KIND: Kind;

    fn from_core(core: Arc<Core<Self::Key, Self::Value>>) -> Self;

    fn core(&self) -> &Arc<Core<Self::Key, Self::Value>>;
}

impl<T, P: Pacing> Front for Paced<T, P> {
    type Key = ();
    type Value = T;
    type Pacing = P;
    const KIND: Kind = P::KIND;

    fn from_core(core: Arc<Core<(), T>>) -> Self {
        let pacing = PhantomData;
        Self { core, pacing }
    }

    fn core(&self) -> &Arc<Core<(), T>> {
        &self.core
    }
}

impl<K, T, P: Pacing> Front for KeyedPaced<K, T, P> {
    type Key = K;
    type Value = T;
    type Pacing = P;
    const KIND: Kind = P::KEYED_KIND;

    fn from_core(core: Arc<Core<K, T>>) -> Self {
        let pacing = PhantomData;
        Self { core, pacing }
    }

    fn core(&self) -> &Arc<Core<K, T>> {
        &self.core
    }
}
