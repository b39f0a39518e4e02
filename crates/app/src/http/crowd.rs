use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::network::network;

/// Who is connected from where, so that no address takes all the room.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    max: usize,
    here: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    network: IpAddr,
}

impl Crowd {
    /// Nobody is there; each network may have `max` places.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            here: Arc::default(),
        }
    }

    /// A place for a connection from `address`; `None`: its network has as many as it may.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let places = here.entry(network).or_default();
        if *places >= self.max {
            return None;
        }
        *places += 1;
        drop(here);
        Some(Place {
            crowd: self.clone(),
            network,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self
            .crowd
            .here
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = here.get_mut(&self.network) {
            *places -= 1;
            if *places == 0 {
                here.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_has_its_places_and_no_more() {
        let crowd = Crowd::new(2);
        let (one, same, other): (IpAddr, IpAddr, IpAddr) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
            "2001:db8:0:1::1".parse().unwrap(),
        );
        let first = crowd.enter(one).unwrap();
        let _second = crowd.enter(same).unwrap();
        assert!(crowd.enter(one).is_none());
        assert!(crowd.enter(other).is_some());
        drop(first);
        assert!(crowd.enter(same).is_some());
    }

    #[test]
    fn nothing_is_left_of_those_who_went() {
        let crowd = Crowd::new(1);
        drop(crowd.enter("127.0.0.1".parse().unwrap()));
        assert!(crowd.here.lock().unwrap().is_empty());
    }
}
