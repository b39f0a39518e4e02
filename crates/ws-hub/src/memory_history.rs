use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use steadfast_clock::{Clock, Instant, SystemClock};

use crate::{History, HistoryPage, Payload, PortError, Publication, StreamPosition, lock::lock};

/// A [`History`] in memory: a ring per topic, bounded in number and age.
///
/// It is lost with the process, and says so: each topic gets a new epoch whenever its stream
/// starts anew. When there are too many topics the one written longest ago is forgotten.
///
/// # Examples
///
/// ```
/// use steadfast_ws_hub::{History, MemoryHistory, Payload};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let history = MemoryHistory::new(100);
/// history.append("news", &Payload::from_json("1")?).await?;
/// let page = history.read("news", Some(0), 10).await?;
/// assert_eq!((page.top.offset, page.publications.len()), (1, 1));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryHistory {
    size: usize,
    max_age: Duration,
    max_topics: usize,
    covers: fn(&str) -> bool,
    clock: Arc<dyn Clock>,
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    by_topic: HashMap<Arc<str>, Stream>,
    /// Topics by the turn of their last write.
    by_age: BTreeMap<u64, Arc<str>>,
    /// Makes epochs differ, and orders writes.
    turn: u64,
}

#[derive(Debug)]
struct Stream {
    epoch: String,
    top: u64,
    written: u64,
    ring: VecDeque<(Instant, Publication)>,
}

impl MemoryHistory {
    /// Keeps the last `size` publications of each topic for an hour, of 10 000 topics at most.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size: size.max(1),
            max_age: Duration::from_secs(3_600),
            max_topics: 10_000,
            covers: |_| true,
            clock: Arc::new(SystemClock),
            streams: Mutex::default(),
        }
    }

    /// Keeps publications for `max_age`.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Keeps at most `max_topics` topics (at least one).
    #[must_use]
    pub fn max_topics(mut self, max_topics: usize) -> Self {
        self.max_topics = max_topics.max(1);
        self
    }

    /// Covers only the topics of which `covers` is true.
    #[must_use]
    pub fn covering(mut self, covers: fn(&str) -> bool) -> Self {
        self.covers = covers;
        self
    }

    /// Takes another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn with_stream<R>(&self, topic: &str, f: impl FnOnce(&mut Stream) -> R) -> R {
        let now = self.clock.monotonic();
        let mut streams = lock(&self.streams);
        let stream = streams.stream(topic, self.max_topics, self.clock.as_ref());
        while let Some((at, _)) = stream.ring.front()
            && now.saturating_duration_since(*at) >= self.max_age
        {
            stream.ring.pop_front();
        }
        f(stream)
    }
}

impl Streams {
    fn stream(&mut self, topic: &str, max_topics: usize, clock: &dyn Clock) -> &mut Stream {
        if !self.by_topic.contains_key(topic)
            && self.by_topic.len() >= max_topics
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_topic.remove(&oldest);
        }
        let topic: Arc<str> = topic.into();
        self.by_topic.entry(topic.clone()).or_insert_with(|| {
            self.turn += 1;
            self.by_age.insert(self.turn, topic);
            let started = clock.wall().duration_since(SystemTime::UNIX_EPOCH);
            let epoch = format!(
                "{:x}-{:x}",
                started.unwrap_or_default().as_nanos(),
                self.turn
            );
            Stream::new(epoch, self.turn)
        })
    }

    /// Notes that `topic` is the last one written.
    fn touch(&mut self, topic: &str) {
        self.turn += 1;
        if let Some(stream) = self.by_topic.get_mut(topic)
            && let Some(name) = self.by_age.remove(&stream.written)
        {
            stream.written = self.turn;
            self.by_age.insert(self.turn, name);
        }
    }
}

impl Stream {
    fn new(epoch: String, turn: u64) -> Self {
        Self {
            epoch,
            top: 0,
            written: turn,
            ring: VecDeque::new(),
        }
    }

    fn position(&self) -> StreamPosition {
        StreamPosition::new(self.top, self.epoch.clone())
    }
}

#[async_trait]
impl History for MemoryHistory {
    fn covers(&self, topic: &str) -> bool {
        (self.covers)(topic)
    }

    async fn append(&self, topic: &str, data: &Payload) -> Result<StreamPosition, PortError> {
        let now = self.clock.monotonic();
        let position = self.with_stream(topic, |stream| {
            stream.top += 1;
            let publication = Publication::new(stream.top, data.clone());
            stream.ring.push_back((now, publication));
            if stream.ring.len() > self.size {
                stream.ring.pop_front();
            }
            stream.position()
        });
        lock(&self.streams).touch(topic);
        Ok(position)
    }

    async fn read(
        &self,
        topic: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, PortError> {
        Ok(self.with_stream(topic, |stream| {
            let after = after.unwrap_or(stream.top);
            let ring = stream.ring.iter().map(|(_, publication)| publication);
            HistoryPage {
                top: stream.position(),
                publications: ring
                    .skip_while(|publication| publication.offset <= after)
                    .take(limit)
                    .cloned()
                    .collect(),
            }
        }))
    }
}
