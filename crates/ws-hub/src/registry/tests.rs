//! The registry against a naive model: plain sets, everything recomputed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use proptest::{prelude::*, sample::select};

use super::*;
use crate::{Disconnect, outbox::Outbox};

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const TOPICS: [&str; 3] = ["x", "y", "z"];

#[derive(Clone, Debug)]
enum Step {
    Register(&'static str),
    Deregister(usize),
    Join(usize, &'static str),
    Activate(usize, &'static str),
    Leave(usize, &'static str),
    /// A clean-up that comes too late: with the serial of no subscription.
    LeaveStale(usize, &'static str),
    Deliver(&'static str),
    Close,
    Open,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, user, topic) = (0..6usize, select(&USERS[..]), select(&TOPICS[..]));
    let pair = (who.clone(), topic.clone());
    let step = prop_oneof![
        4 => user.prop_map(Step::Register),
        2 => who.prop_map(Step::Deregister),
        6 => pair.clone().prop_map(|(who, topic)| Step::Join(who, topic)),
        6 => pair.clone().prop_map(|(who, topic)| Step::Activate(who, topic)),
        3 => pair.clone().prop_map(|(who, topic)| Step::Leave(who, topic)),
        1 => pair.prop_map(|(who, topic)| Step::LeaveStale(who, topic)),
        3 => topic.prop_map(Step::Deliver),
        1 => Just(Step::Close),
        1 => Just(Step::Open),
    ];
    prop::collection::vec(step, 1..80)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Pending(usize),
    Active,
    Leaving,
}

#[derive(Default)]
struct Model {
    closed: bool,
    /// Every connection that ever was, and whether it still is.
    all: Vec<(Arc<Connection>, bool)>,
    subscriptions: BTreeMap<(usize, &'static str), Stage>,
    received: BTreeMap<usize, usize>,
}

fn limits() -> Limits {
    Limits {
        connections_per_user: 2,
        subscriptions_per_connection: 2,
        ..Limits::default()
    }
}

fn new_connection(user: &str, limits: &Limits) -> NewConnection {
    NewConnection {
        user: user.into(),
        remote: None,
        since: SystemTime::UNIX_EPOCH,
        expires: None,
        outbox: Arc::new(Outbox::new(limits)),
    }
}

fn message() -> Live {
    Live {
        at: None,
        frame: Bytes::from_static(b"m"),
    }
}

impl Model {
    fn open_of(&self, user: &str) -> BTreeSet<ConnectionId> {
        let open = self.all.iter().filter(|(_, open)| *open);
        open.filter(|(connection, _)| &*connection.user == user)
            .map(|(connection, _)| connection.id)
            .collect()
    }

    fn run(&mut self, registry: &Registry, step: &Step) {
        match *step {
            Step::Register(user) => self.register(registry, user),
            Step::Deregister(who) => self.deregister(registry, who),
            Step::Join(who, topic) => self.join(registry, who, topic),
            Step::Activate(who, topic) => self.activate(registry, who, topic),
            Step::Leave(who, topic) => self.leave(registry, who, topic),
            Step::LeaveStale(who, topic) => {
                if let Some((connection, _)) = self.all.get(who) {
                    let left = registry.leave(connection, topic, Some(u64::MAX), None);
                    assert_eq!(left, Left::Absent);
                }
            }
            Step::Deliver(topic) => self.deliver(registry, topic),
            Step::Close => {
                let members: BTreeSet<_> = registry.close().iter().map(|c| c.id).collect();
                let open = self.all.iter().filter(|(_, open)| *open);
                assert_eq!(members, open.map(|(connection, _)| connection.id).collect());
                self.closed = true;
            }
            Step::Open => {
                registry.open();
                self.closed = false;
            }
        }
    }

    fn register(&mut self, registry: &Registry, user: &'static str) {
        let expected = if self.closed {
            Some(RegisterError::Closed)
        } else if self.open_of(user).len() >= 2 {
            Some(RegisterError::UserLimit)
        } else {
            None
        };
        let registered = registry.register(new_connection(user, &limits()));
        assert_eq!(registered.as_ref().err(), expected.as_ref());
        if let Ok(connection) = registered {
            let known = self.all.iter().any(|(other, _)| other.id == connection.id);
            assert!(!known, "an id is used once");
            self.all.push((connection, true));
        }
    }

    fn deregister(&mut self, registry: &Registry, who: usize) {
        let Some((connection, open)) = self.all.get_mut(who) else {
            return;
        };
        assert_eq!(registry.deregister(connection), *open, "once");
        *open = false;
        connection.outbox.close(Disconnect::CONNECTION_CLOSED);
        self.subscriptions.retain(|(other, _), _| *other != who);
    }

    fn join(&mut self, registry: &Registry, who: usize, topic: &'static str) {
        let Some((connection, open)) = self.all.get(who) else {
            return;
        };
        let mine = self.subscriptions.keys().filter(|(other, _)| *other == who);
        let expected = if !open {
            Err(JoinError::Closed)
        } else if self.subscriptions.contains_key(&(who, topic)) {
            Err(JoinError::AlreadySubscribed)
        } else if mine.count() >= 2 {
            Err(JoinError::Limit)
        } else {
            Ok(())
        };
        assert_eq!(registry.join(connection, topic, false), expected);
        if expected.is_ok() {
            self.subscriptions.insert((who, topic), Stage::Pending(0));
        }
    }

    fn activate(&mut self, registry: &Registry, who: usize, topic: &'static str) {
        // Only the session that joined activates, once.
        let stage = self.subscriptions.get(&(who, topic)).copied();
        let Some(Stage::Pending(_) | Stage::Leaving) = stage else {
            return;
        };
        let activated = registry.activate(&self.all[who].0, topic, None);
        match (stage, activated) {
            (Some(Stage::Pending(waiting)), Activated::Active(delivery)) => {
                assert_eq!(delivery.queued, waiting);
                *self.received.entry(who).or_default() += waiting;
                self.subscriptions.insert((who, topic), Stage::Active);
            }
            (Some(Stage::Leaving), Activated::Left) => {
                self.subscriptions.remove(&(who, topic));
            }
            (stage, activated) => panic!("{stage:?} became {activated:?}"),
        }
    }

    fn leave(&mut self, registry: &Registry, who: usize, topic: &'static str) {
        let Some((connection, _)) = self.all.get(who) else {
            return;
        };
        let expected = match self.subscriptions.get(&(who, topic)) {
            None => Left::Absent,
            Some(Stage::Pending(_)) => {
                self.subscriptions.insert((who, topic), Stage::Leaving);
                Left::Marked
            }
            Some(Stage::Active) => {
                self.subscriptions.remove(&(who, topic));
                Left::Removed
            }
            Some(Stage::Leaving) => Left::Marked,
        };
        assert_eq!(registry.leave(connection, topic, None, None), expected);
    }

    fn deliver(&mut self, registry: &Registry, topic: &'static str) {
        let delivery = registry.deliver(topic, message);
        let mut expected = 0;
        for ((who, name), stage) in &mut self.subscriptions {
            match stage {
                _ if *name != topic => {}
                Stage::Active => {
                    expected += 1;
                    *self.received.entry(*who).or_default() += 1;
                }
                Stage::Pending(waiting) => *waiting += 1,
                Stage::Leaving => {}
            }
        }
        assert_eq!(delivery.queued, expected);
    }

    /// The three indexes agree with each other and with the model.
    fn check(&self, registry: &Registry) {
        let open = self.all.iter().filter(|(_, open)| *open);
        assert_eq!(registry.connection_count(), open.clone().count());
        assert_eq!(registry.page(None, 100).len(), open.count());
        for (connection, open) in &self.all {
            let found = registry.connection(connection.id);
            assert_eq!(found.is_some(), *open);
        }
        let mut users = 0;
        for user in USERS {
            let listed = registry.connections_of(user);
            let listed: BTreeSet<_> = listed.iter().map(|c| c.id).collect();
            assert_eq!(listed, self.open_of(user));
            users += usize::from(!listed.is_empty());
        }
        assert_eq!(registry.user_count(), users);
        let mut topics = 0;
        for topic in TOPICS {
            let members = registry.topic(topic).map(|topic| topic.members());
            let members: BTreeSet<_> = members.unwrap_or_default().into_iter().collect();
            let expected: BTreeSet<_> = self
                .subscriptions
                .keys()
                .filter(|(_, name)| *name == topic)
                .map(|(who, _)| self.all[*who].0.id)
                .collect();
            assert_eq!(members, expected);
            topics += usize::from(!members.is_empty());
        }
        assert_eq!(registry.topic_count(), topics, "no empty topic is kept");
        assert_eq!(registry.subscription_count(), self.subscriptions.len());
        for (who, (connection, open)) in self.all.iter().enumerate() {
            let membership = lock(&connection.membership);
            assert_eq!(membership.open, *open);
            let mine = self.subscriptions.keys().filter(|(other, _)| *other == who);
            assert_eq!(membership.topics.len(), mine.count());
        }
    }
}

proptest! {
    #[test]
    fn registry_agrees_with_a_naive_model(steps in steps()) {
        let registry = Registry::new(Arc::new(limits()));
        let mut model = Model::default();
        for step in &steps {
            model.run(&registry, step);
            model.check(&registry);
        }
        for (who, (connection, open)) in model.all.iter().enumerate() {
            let mut lines = 0;
            while let Some(batch) = connection.outbox.take() {
                lines += batch.split(|&byte| byte == b'\n').count();
            }
            if *open {
                assert_eq!(lines, model.received.get(&who).copied().unwrap_or(0));
            }
        }
    }
}

#[test]
fn pending_subscription_told_to_end_twice_goes_on_activation() {
    let registry = Registry::new(Arc::new(limits()));
    let connection = registry.register(new_connection("alice", &limits()));
    let connection = connection.unwrap();
    registry.join(&connection, "x", false).unwrap();
    for _ in 0..2 {
        let farewell = Some(Bytes::from_static(b"farewell"));
        let left = registry.leave(&connection, "x", None, farewell);
        assert_eq!(left, Left::Marked);
    }
    assert_eq!(
        connection.outbox.take(),
        None,
        "not before its acknowledgement"
    );
    let activated = registry.activate(&connection, "x", None);
    assert!(matches!(activated, Activated::Left));
    assert_eq!(
        (registry.topic_count(), registry.subscription_count()),
        (0, 0)
    );
}

#[test]
fn id_of_the_past_finds_and_removes_nothing() {
    let registry = Registry::new(Arc::new(limits()));
    let mut seen = BTreeSet::new();
    // Longer than there are shards, so that slots are used again.
    for _ in 0..100 {
        let connection = registry
            .register(new_connection("alice", &limits()))
            .unwrap();
        assert!(seen.insert(connection.id));
        assert!(registry.deregister(&connection));
    }
    let slots: BTreeSet<_> = seen.iter().map(|id| id.slot).collect();
    assert!(slots.len() < seen.len(), "slots are used again");

    let current = registry
        .register(new_connection("alice", &limits()))
        .unwrap();
    let past = seen.iter().find(|id| id.slot == current.id.slot);
    let past = *past.expect("its slot had an owner before");
    assert!(registry.connection(past).is_none());
    assert!(registry.slots.remove(past).is_none());
    assert!(registry.connection(current.id).is_some());
}

#[test]
fn burst_from_many_threads_never_passes_the_limit_of_a_user() {
    let registry = Registry::new(Arc::new(limits()));
    for _ in 0..50 {
        let registered = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| registry.register(new_connection("alice", &limits()))))
                .collect();
            let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
            outcomes.filter_map(Result::ok).collect::<Vec<_>>()
        });
        assert_eq!(registered.len(), 2);
        std::thread::scope(|scope| {
            for connection in &registered {
                scope.spawn(|| registry.deregister(connection));
                scope.spawn(|| registry.deregister(connection));
            }
        });
        assert_eq!((registry.connection_count(), registry.user_count()), (0, 0));
    }
}

#[test]
fn closing_against_registering_leaves_nobody_unseen() {
    for _ in 0..500 {
        let registry = Registry::new(Arc::new(limits()));
        let together = std::sync::Barrier::new(2);
        let (closed, registered) = std::thread::scope(|scope| {
            let closing = scope.spawn(|| {
                together.wait();
                registry.close()
            });
            together.wait();
            let registered = registry.register(new_connection("alice", &limits()));
            (closing.join().unwrap(), registered)
        });
        assert_eq!(closed.len(), usize::from(registered.is_ok()));
    }
}
