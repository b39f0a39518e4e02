use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use steadfast_clock::Clock as _;
use steadfast_notifications::{
    Channel, ChannelId, ChannelKind, ChannelStore, ChannelTarget, DELIVERIES_PER_HOUR, Deliverer,
    Delivery, DeliveryLimits, DeliveryQuery, DeliveryState, DeliveryStore, Dispatch, Draft,
    IdSource as _, MAX_ATTEMPTS, MessageContent, NotificationId, NotificationStore, SendError,
    StoredChannel, UserId, test_util::RecordingSender,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::World;

struct Deliveries {
    world: World,
    sender: Arc<RecordingSender>,
    deliverer: Deliverer,
}

impl Deliveries {
    fn new() -> Self {
        let (world, sender) = (World::new(), Arc::new(RecordingSender::new()));
        let limits = Arc::new(DeliveryLimits::with_clock(world.clock.clone()).unwrap());
        let deliverer = Deliverer::builder(world.store.clone(), sender.clone(), limits)
            .clock(world.clock.clone())
            .batch_channels(4)
            .build()
            .unwrap();
        Self {
            world,
            sender,
            deliverer,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::try_from(self.world.clock.wall()).unwrap()
    }

    async fn channel(&self, user: UserId, url: &str) -> ChannelId {
        let channel = Channel {
            id: ChannelId::new(self.world.ids.next_id()),
            version: 1,
            user_id: user,
            name: "Hook".into(),
            target: ChannelTarget::Webhook { url: url.into() },
            enabled: true,
            created_at: self.now(),
            updated_at: self.now(),
        };
        let stored = StoredChannel {
            channel,
            secret: None,
        };
        ChannelStore::insert(&*self.world.store, &stored, 99)
            .await
            .unwrap();
        stored.channel.id
    }

    async fn publish(&self, user: UserId, title: &str, change: impl FnOnce(&mut Draft)) {
        let mut draft = Draft {
            id: NotificationId::new(self.world.ids.next_id()),
            user_id: user,
            title: title.into(),
            body: String::new(),
            topic: None,
            urgent: false,
            created_at: self.now(),
            dispatch: Dispatch::single(vec![ChannelKind::Webhook], self.now()),
        };
        change(&mut draft);
        self.world.store.publish(&draft, None).await.unwrap();
    }

    async fn stored(&self, user: UserId) -> Vec<Delivery> {
        let query = DeliveryQuery {
            state: None,
            before: None,
            limit: 9_999,
        };
        DeliveryStore::list(&*self.world.store, user, query)
            .await
            .unwrap()
    }

    async fn states(&self, user: UserId) -> Vec<DeliveryState> {
        let stored = self.stored(user).await;
        stored.iter().map(|delivery| delivery.state).collect()
    }

    /// What arrived, by titles.
    fn sent(&self) -> Vec<Vec<String>> {
        let sent = self.sender.sent().into_iter();
        sent.map(|(_, message)| match message.content {
            MessageContent::Notification(one) => vec![one.title],
            MessageContent::Digest(all) => all.into_iter().map(|one| one.title).collect(),
            MessageContent::Test => Vec::new(),
        })
        .collect()
    }

    fn start(&self) -> (CancellationToken, AbortOnDropHandle<()>) {
        let (stop, deliverer) = (CancellationToken::new(), self.deliverer.clone());
        let running = stop.clone();
        let task =
            tokio::runtime::Handle::current().spawn(async move { deliverer.run(running).await });
        (stop, AbortOnDropHandle::new(task))
    }
}

fn unreachable() -> SendError {
    SendError::Unreachable {
        cause: "connection refused".into(),
    }
}

fn busy(retry_after: Option<Duration>) -> SendError {
    SendError::Busy {
        cause: "503 Service Unavailable".into(),
        retry_after,
    }
}

#[tokio::test(start_paused = true)]
async fn due_deliveries_are_sent_once_and_in_order() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://a.example/").await;
    for title in ["one", "two", "three"] {
        it.publish(user, title, |_| {}).await;
    }
    it.deliverer.drain().await.unwrap();
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent(), [["one"], ["two"], ["three"]]);
    assert_eq!(it.states(user).await, [DeliveryState::Sent; 3]);
    let ids: Vec<_> = it.stored(user).await.iter().rev().map(|it| it.id).collect();
    let sent = it.sender.sent();
    assert!(sent.iter().map(|(_, message)| message.id).eq(ids));
}

#[tokio::test(start_paused = true)]
async fn quiet_period_holds_deliveries_until_it_ends() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://a.example/").await;
    let at = it.now() + jiff::SignedDuration::from_hours(8);
    it.publish(user, "later", |draft| draft.dispatch.at = at)
        .await;
    let (stop, running) = it.start();
    tokio::time::sleep(Duration::from_secs(8 * 3_600 - 5)).await;
    assert_eq!(it.sent(), [] as [Vec<String>; 0]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(it.sent(), [["later"]]);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn due_digest_is_one_message_that_keeps_its_id_when_it_is_sent_again() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://a.example/").await;
    for title in ["one", "two", "three"] {
        it.publish(user, title, |draft| draft.dispatch.digest = true)
            .await;
    }
    it.publish(user, "alone", |draft| draft.urgent = true).await;
    it.sender
        .fail("https://a.example/", [busy(None), busy(None)]);
    let (stop, running) = it.start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut sent = it.sent();
    sent.sort();
    let digest = ["one", "two", "three"].map(str::to_owned).to_vec();
    assert_eq!(sent, [vec!["alone".to_owned()], digest]);
    let tried = it.sender.attempts();
    let digests: Vec<_> = tried
        .iter()
        .filter(|(_, message)| matches!(message.content, MessageContent::Digest(_)))
        .collect();
    assert_eq!(digests.len(), 2);
    assert_eq!(digests[0], digests[1]);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn failing_delivery_waits_longer_each_time_and_ends_as_a_dead_letter() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://a.example/").await;
    it.publish(user, "one", |_| {}).await;
    let errors = (0..MAX_ATTEMPTS).map(|_| busy(None));
    it.sender.fail("https://a.example/", errors);
    let mut waits = Vec::new();
    loop {
        it.deliverer.drain().await.unwrap();
        let delivery = it.stored(user).await.remove(0);
        assert_eq!(delivery.attempts as usize, it.sender.attempts().len());
        assert_eq!(
            delivery.last_error.as_deref(),
            Some("503 Service Unavailable")
        );
        if delivery.state == DeliveryState::Dead {
            break;
        }
        let wait = Duration::try_from(delivery.available_at.duration_since(it.now())).unwrap();
        waits.push(wait.as_secs());
        tokio::time::advance(wait).await;
    }
    let least = [20, 80, 320, 1_280, 5_120, 20_480, 43_200];
    assert_eq!(waits.len(), least.len());
    for (wait, least) in waits.iter().zip(least) {
        assert!((least..=least * 6 / 5).contains(wait), "{wait} for {least}");
    }
    let hours = waits.iter().sum::<u64>() as f64 / 3_600.0;
    assert!((19.0..24.0).contains(&hours), "{hours} h");

    // By hand it begins anew.
    let id = it.stored(user).await[0].id;
    it.world
        .store
        .retry(Some(user), id, it.now())
        .await
        .unwrap();
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent(), [["one"]]);
    assert_eq!(it.states(user).await, [DeliveryState::Sent]);
}

#[tokio::test(start_paused = true)]
async fn refused_delivery_is_a_dead_letter_at_once() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://a.example/").await;
    it.publish(user, "one", |_| {}).await;
    it.publish(user, "two", |_| {}).await;
    let cause = "410 Gone".to_owned();
    it.sender
        .fail("https://a.example/", [SendError::Refused { cause }]);
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sender.attempts().len(), 2);
    let stored = it.stored(user).await;
    assert_eq!(stored[1].state, DeliveryState::Dead);
    assert_eq!(stored[1].last_error.as_deref(), Some("410 Gone"));
    assert_eq!(stored[0].state, DeliveryState::Sent);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_a_bound() {
    for (asked, waited) in [(3_600, 3_600), (1, 20), (1_000_000, 43_200)] {
        let it = Deliveries::new();
        let user = it.world.user;
        it.channel(user, "https://a.example/").await;
        it.publish(user, "one", |_| {}).await;
        let asked = busy(Some(Duration::from_secs(asked)));
        it.sender.fail("https://a.example/", [asked]);
        it.deliverer.drain().await.unwrap();
        let at = it.stored(user).await[0].available_at;
        let wait = at.duration_since(it.now()).as_secs();
        assert!(
            (waited..=waited * 6 / 5).contains(&wait),
            "{wait} for {waited}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_does_not_answer_is_left_alone_and_holds_nobody_up() {
    let it = Deliveries::new();
    let (user, other) = (it.world.user, it.world.other);
    it.channel(user, "https://dead.example/").await;
    it.channel(other, "https://a.example/").await;
    for _ in 0..40 {
        it.publish(user, "dead", |_| {}).await;
        it.publish(other, "fine", |_| {}).await;
    }
    let errors = (0..99).map(|_| unreachable());
    it.sender.fail("https://dead.example/", errors);
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent().len(), 40);
    assert_eq!(
        it.sender.attempts().len(),
        45,
        "five, then the breaker opens"
    );
    let stored = it.stored(user).await;
    assert!(stored.iter().all(|it| it.state == DeliveryState::Pending));
    let attempts: u32 = stored.iter().map(|delivery| delivery.attempts).sum();
    assert_eq!(attempts, 5, "what was put off was not attempted");
    let now = it.now();
    assert!(stored.iter().all(|delivery| delivery.available_at > now));
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_fails_one_user_is_not_left_alone_for_others() {
    let it = Deliveries::new();
    let (user, other) = (it.world.user, it.world.other);
    it.channel(user, "https://shared.example/").await;
    for _ in 0..9 {
        it.publish(user, "dead", |_| {}).await;
    }
    let errors = (0..5).map(|_| unreachable());
    it.sender.fail("https://shared.example/", errors);
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent().len(), 0);

    it.channel(other, "https://shared.example/").await;
    it.publish(other, "fine", |_| {}).await;
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn delivery_that_is_put_off_for_three_days_is_a_dead_letter() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://dead.example/").await;
    for _ in 0..40 {
        it.publish(user, "dead", |_| {}).await;
    }
    it.sender
        .fail("https://dead.example/", (0..9_999).map(|_| unreachable()));
    for _ in 0..80 {
        it.deliverer.drain().await.unwrap();
        tokio::time::advance(Duration::from_secs(3_600)).await;
    }
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.states(user).await, [DeliveryState::Dead; 40]);
}

#[tokio::test(start_paused = true)]
async fn slow_channel_keeps_no_other_one_waiting() {
    let it = Deliveries::new();
    let (user, other) = (it.world.user, it.world.other);
    it.channel(user, "https://slow.example/").await;
    it.sender
        .slow("https://slow.example/", Duration::from_secs(9));
    it.channel(other, "https://a.example/").await;
    for _ in 0..20 {
        it.publish(user, "slow", |_| {}).await;
    }
    let (stop, running) = it.start();
    for round in 1..=20 {
        it.publish(other, "fast", |_| {}).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let sent = it.sent();
        let fast = sent.iter().filter(|titles| titles[0] == "fast").count();
        assert_eq!(fast, round);
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn limits_put_off_what_is_too_much_and_lose_nothing() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://a.example/").await;
    for _ in 0..70 {
        it.publish(user, "many", |_| {}).await;
    }
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent().len(), DELIVERIES_PER_HOUR as usize);
    it.publish(user, "urgent", |draft| draft.urgent = true)
        .await;
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent().last().unwrap(), &["urgent"]);
    let (stop, running) = it.start();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(it.sent().len(), 71);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn delivery_of_a_deleted_notification_is_cancelled() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://a.example/").await;
    it.publish(user, "gone", |_| {}).await;
    it.publish(user, "here", |_| {}).await;
    let gone = it.stored(user).await[1].notification_id;
    it.world
        .store
        .delete(user, &[gone], it.now())
        .await
        .unwrap();
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent(), [["here"]]);
    let states = it.states(user).await;
    assert_eq!(states, [DeliveryState::Sent, DeliveryState::Cancelled]);
}

#[tokio::test(start_paused = true)]
async fn stop_gives_back_what_a_hanging_send_holds_and_it_is_sent_again() {
    let it = Deliveries::new();
    let user = it.world.user;
    it.channel(user, "https://slow.example/").await;
    it.sender
        .slow("https://slow.example/", Duration::from_secs(3_600));
    it.publish(user, "one", |_| {}).await;
    let (stop, running) = it.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(it.sender.attempts().len(), 1);
    stop.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(3), running);
    stopped.await.unwrap().unwrap();
    assert_eq!(it.states(user).await, [DeliveryState::Pending]);

    it.sender.slow("https://slow.example/", Duration::ZERO);
    it.deliverer.drain().await.unwrap();
    let tried = it.sender.attempts();
    assert_eq!(tried[0], tried[1], "the same message with the same id");
    assert_eq!(it.states(user).await, [DeliveryState::Sent]);
}

#[tokio::test(start_paused = true)]
async fn thousand_due_are_all_sent() {
    let it = Deliveries::new();
    let users: Vec<_> = (0..100)
        .map(|_| UserId::new(it.world.ids.next_id()))
        .collect();
    for user in &users {
        it.channel(*user, &format!("https://{user}.example/")).await;
        for _ in 0..10 {
            it.publish(*user, "due", |_| {}).await;
        }
    }
    it.deliverer.drain().await.unwrap();
    assert_eq!(it.sent().len(), 1_000);
}
