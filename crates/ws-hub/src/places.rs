use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use crate::{
    Limits, Refusal,
    error::{FROM_ADDRESS, IN_ALL},
    lock::lock,
};

/// Counts sockets, in all and per address, from before the handshake to the end.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One socket's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Places {
    /// Counts and takes in one step.
    pub(crate) fn take(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<Seat, Refusal> {
        let mut taken = lock(&self.taken);
        if taken.all >= limits.connections {
            return Err(Refusal::Capacity { scope: IN_ALL });
        }
        if let Some(address) = address {
            let here = taken.by_address.entry(address).or_default();
            if *here >= limits.connections_per_address {
                let scope = FROM_ADDRESS;
                return Err(Refusal::Capacity { scope });
            }
            *here += 1;
        }
        taken.all += 1;
        Ok(Seat {
            places: self.clone(),
            address,
        })
    }

    pub(crate) fn taken(&self) -> usize {
        lock(&self.taken).all
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.taken);
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(here) = taken.by_address.get_mut(&address)
        {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_per_address_and_given_back() {
        let limits = Limits {
            connections: 3,
            connections_per_address: 2,
            ..Limits::default()
        };
        let places = Arc::new(Places::default());
        let here = Some(IpAddr::from([127, 0, 0, 1]));
        let take = |address| places.take(address, &limits);

        let first = take(here).unwrap();
        let _second = take(here).unwrap();
        let third = take(here);
        assert!(matches!(
            third,
            Err(Refusal::Capacity {
                scope: FROM_ADDRESS
            })
        ));
        let _other = take(None).unwrap();
        assert!(matches!(
            take(None),
            Err(Refusal::Capacity { scope: IN_ALL })
        ));

        drop(first);
        assert_eq!(places.taken(), 2);
        assert!(take(here).is_ok());
    }
}
