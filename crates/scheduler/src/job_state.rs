use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{Cause, Job, JobKey, Misfire, Overlap, RunNow};

/// Where a job stands in its schedule, and the rules by which its occurrences are claimed.
///
/// Pure: the same for every [`JobStore`](crate::JobStore), which keeps the fields and calls the
/// methods within its transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobState {
    /// The first occurrence that is neither claimed nor skipped; `None` while paused.
    pub next_fire: Option<Timestamp>,
    /// The latest occurrence claimed.
    pub last_scheduled: Option<Timestamp>,
    /// The last request to run now.
    pub manual_for: Option<Timestamp>,
    /// Whether that request has yet to be claimed.
    pub manual_wanted: bool,
    /// When the job last began to run as often as its overlap policy allows.
    pub busy_from: Option<Timestamp>,
    /// When that ended; `None` while it lasts.
    pub busy_until: Option<Timestamp>,
    /// Whether it is paused.
    pub paused: bool,
    /// Claims that have not ended.
    pub running: u32,
    /// Occurrences skipped by policy.
    pub skipped: u64,
}

/// An occurrence to be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which occurrence.
    pub scheduled_for: Timestamp,
    /// Why.
    pub cause: Cause,
}

impl JobState {
    /// How many occurrences that were missed in a row are counted as skipped, at most: counting
    /// them one by one must not hold up other jobs.
    pub const MAX_COUNTED: u64 = 1_000;

    /// Sets the next fire to the first later than both `now` and the last one claimed.
    pub fn reschedule(&mut self, job: &Job, now: Timestamp) {
        let after = self.last_scheduled.map_or(now, |last| last.max(now));
        self.next_fire = if self.paused {
            None
        } else {
            job.spec.next_after_with(after, &job.tz, job.policy.dst)
        };
    }

    /// When a claim is worth trying: `None` if the job is paused, at work or has no next fire.
    #[must_use]
    pub fn due_at(&self, job: &Job) -> Option<Timestamp> {
        if self.free(job) == 0 {
            return None;
        }
        let scheduled = self.next_fire.map(|next| shift(next, jitter(job)));
        // At once, also if the clock has gone back since it was asked for.
        let manual = self.manual_wanted.then_some(Timestamp::UNIX_EPOCH);
        [scheduled, manual].into_iter().flatten().min()
    }

    /// The next fire as people should see it: while the job is at work, what falls due is
    /// decided when it ends.
    #[must_use]
    pub fn visible_next_fire(&self, job: &Job, now: Timestamp) -> Option<Timestamp> {
        let next = self.next_fire?;
        if self.free(job) == 0 && next < now {
            return job.spec.next_after_with(now, &job.tz, job.policy.dst);
        }
        Some(next)
    }

    /// Notes a request to run now.
    pub fn request_run(&mut self, job: &Job, now: Timestamp) -> RunNow {
        if self.free(job) == 0 && job.policy.overlap != Overlap::QueueOne {
            self.skipped += 1;
            return RunNow::Skipped;
        }
        // Never on a whole second, so that it is no occurrence of the schedule, and never twice.
        let mut millisecond = now.as_millisecond();
        if let Some(last) = self.manual_for {
            millisecond = millisecond.max(last.as_millisecond() + 1);
        }
        if millisecond % 1_000 == 0 {
            millisecond += 1;
        }
        let scheduled_for = Timestamp::from_millisecond(millisecond).unwrap_or(now);
        self.manual_for = Some(scheduled_for);
        self.manual_wanted = true;
        RunNow::Accepted { scheduled_for }
    }

    /// Takes the occurrences that fire now, at most `limit`, and counts those that are skipped.
    ///
    /// Whatever is due and not taken stays due. Under [`Overlap::Replace`] a start means that
    /// the runs before it are to be cancelled.
    pub fn claim(
        &mut self,
        job: &Job,
        now: Timestamp,
        grace: Duration,
        limit: usize,
    ) -> Vec<Start> {
        let mut starts = Vec::new();
        let free = (self.free(job) as usize).min(limit);
        if self.manual_wanted && free > 0 {
            self.manual_wanted = false;
            starts.extend(self.manual_for.map(|scheduled_for| Start {
                scheduled_for,
                cause: Cause::Manual,
            }));
        }
        let due = Due {
            job,
            now: shift(now, -jitter(job)),
            on_time_from: shift(shift(now, -jitter(job)), -signed(grace)),
        };
        while starts.len() < free
            && let Some(next) = self.next_fire.filter(|next| *next <= due.now)
        {
            let taken = if job.policy.overlap == Overlap::Replace {
                due.take_replacing(next)
            } else if let Some(end) = self.overlapped(job, next, due.now) {
                due.take_overlapped(next, end)
            } else if next < due.on_time_from {
                due.take_missed(next, self.waiting_until(job, next))
            } else {
                Taken {
                    start: Some((next, Cause::Scheduled)),
                    skipped: 0,
                    last: next,
                }
            };
            self.skipped += taken.skipped;
            self.next_fire = due.after(taken.last);
            if let Some((scheduled_for, cause)) = taken.start {
                self.last_scheduled = self.last_scheduled.max(Some(scheduled_for));
                starts.push(Start {
                    scheduled_for,
                    cause,
                });
            }
        }
        self.begin(job, starts.len(), now);
        starts
    }

    /// Notes that a claim has ended.
    pub fn end(&mut self, job: &Job, now: Timestamp) {
        if self.free(job) == 0 {
            self.busy_until = Some(now);
        }
        self.running = self.running.saturating_sub(1);
    }

    fn begin(&mut self, job: &Job, starts: usize, now: Timestamp) {
        let replaces = job.policy.overlap == Overlap::Replace;
        if starts > 0 && replaces {
            self.running = 0;
        }
        self.running += starts as u32;
        if starts > 0 && self.free(job) == 0 {
            self.busy_from = Some(now);
            self.busy_until = None;
        }
    }

    /// How many more runs the overlap policy allows.
    fn free(&self, job: &Job) -> u32 {
        match job.policy.overlap {
            Overlap::Skip | Overlap::QueueOne => 1_u32.saturating_sub(self.running),
            Overlap::Allow(most) => most.saturating_sub(self.running),
            Overlap::Replace => 1,
        }
    }

    /// If `next` fell due while the job was at work, the end of that time.
    fn overlapped(&self, job: &Job, next: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let (from, until) = (self.busy_from?, self.busy_until?);
        let late = -jitter(job);
        (shift(from, late) < next && next <= shift(until, late))
            .then(|| shift(until, late).min(now))
    }

    /// If `next` had fallen due before the last run began, when that was.
    fn waiting_until(&self, job: &Job, next: Timestamp) -> Option<Timestamp> {
        let from = shift(self.busy_from?, -jitter(job));
        (next <= from).then_some(from)
    }
}

/// What is due, in times of the schedule: jitter is taken off.
struct Due<'a> {
    job: &'a Job,
    now: Timestamp,
    on_time_from: Timestamp,
}

/// The occurrences up to `last` are dealt with: one starts, or none, and the others are skipped.
struct Taken {
    start: Option<(Timestamp, Cause)>,
    skipped: u64,
    last: Timestamp,
}

impl Due<'_> {
    /// Several at once replace each other: only the latest starts.
    fn take_replacing(&self, next: Timestamp) -> Taken {
        let latest = self.latest(next, self.now);
        if latest >= self.on_time_from {
            self.only(next, latest, Some(Cause::Scheduled))
        } else {
            let fires = self.job.policy.misfire != Misfire::Skip;
            self.only(next, latest, fires.then_some(Cause::Misfire))
        }
    }

    fn take_overlapped(&self, next: Timestamp, end: Timestamp) -> Taken {
        let queued = self.job.policy.overlap == Overlap::QueueOne;
        let latest = self.latest(next, end);
        self.only(next, latest, queued.then_some(Cause::Scheduled))
    }

    fn take_missed(&self, next: Timestamp, waiting_until: Option<Timestamp>) -> Taken {
        let missed_until = shift(self.on_time_from, SignedDuration::from_millis(-1));
        let end = waiting_until.map_or(missed_until, |until| until.min(missed_until));
        let latest = self.latest(next, end);
        match self.job.policy.misfire {
            Misfire::Skip => self.only(next, latest, None),
            Misfire::OnceLatest => self.only(next, latest, Some(Cause::Misfire)),
            Misfire::All { max, window } => {
                let oldest = shift(self.now, -signed(window));
                let first = self.first_of_last(next.max(oldest), latest, max);
                match first {
                    Some(first) => Taken {
                        start: Some((first, Cause::Misfire)),
                        skipped: self.count(next, first) - 1,
                        last: first,
                    },
                    None => self.only(next, latest, None),
                }
            }
        }
    }

    /// Of the occurrences from `next` to `latest`, the latest starts if there is a cause.
    fn only(&self, next: Timestamp, latest: Timestamp, cause: Option<Cause>) -> Taken {
        Taken {
            start: cause.map(|cause| (latest, cause)),
            skipped: self.count(next, latest) - u64::from(cause.is_some()),
            last: latest,
        }
    }

    /// The latest occurrence up to `end`, given that `next` is one.
    fn latest(&self, next: Timestamp, end: Timestamp) -> Timestamp {
        let job = self.job;
        job.spec
            .latest_between(next, end, &job.tz, job.policy.dst)
            .unwrap_or(next)
    }

    /// The first of the last `max` occurrences from `from` to `latest`.
    fn first_of_last(&self, from: Timestamp, latest: Timestamp, max: u32) -> Option<Timestamp> {
        let Job {
            spec, tz, policy, ..
        } = self.job;
        let instant = SignedDuration::from_millis(-1);
        let before = shift(from, instant);
        let max = max.min(Misfire::MAX_ALL) as usize;
        // Most often there are no more than that; searching backwards costs far more.
        let mut forward = spec.upcoming_with(before, tz, policy.dst);
        let first = forward.next().filter(|first| *first <= latest)?;
        if forward.nth(max - 1).is_none_or(|beyond| beyond > latest) {
            return Some(first);
        }
        let mut first = latest;
        for _ in 1..max {
            let end = shift(first, instant);
            first = spec.latest_between(before, end, tz, policy.dst)?;
        }
        Some(first)
    }

    /// How many occurrences there are from `next` to `latest`, both included, up to a bound.
    fn count(&self, next: Timestamp, latest: Timestamp) -> u64 {
        let job = self.job;
        1 + job
            .spec
            .upcoming_with(next, &job.tz, job.policy.dst)
            .take_while(|fire| *fire <= latest)
            .take(JobState::MAX_COUNTED as usize - 1)
            .count() as u64
    }

    fn after(&self, fire: Timestamp) -> Option<Timestamp> {
        let job = self.job;
        job.spec.next_after_with(fire, &job.tz, job.policy.dst)
    }
}

/// By how much a job starts later: a part of its jitter that depends on its key alone.
fn jitter(job: &Job) -> SignedDuration {
    let most = job.policy.jitter.as_millis() as u64;
    if most == 0 {
        return SignedDuration::ZERO;
    }
    SignedDuration::from_millis((stable_hash(&job.key) % (most + 1)) as i64)
}

/// FNV-1a with a final mix: the same in every process and version.
fn stable_hash(key: &JobKey) -> u64 {
    let hash = key
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

fn shift(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(if by.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
