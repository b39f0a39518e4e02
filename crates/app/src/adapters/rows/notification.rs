use steadfast_notifications::{
    ChannelKind, Dialect, Misfire, Notification, NotificationId, Preferences, Schedule, ScheduleId,
    StoredSchedule, UserEvent, UserId,
};

use super::{Columns, broken, from_json};

/// Reads a schedule, or that it was removed.
pub(in crate::adapters) fn stored_schedule(row: &impl Columns) -> sqlx::Result<StoredSchedule> {
    if row.flag("removed")? {
        return Ok(StoredSchedule::Tombstone);
    }
    schedule(row).map(StoredSchedule::Live)
}

/// Reads a schedule.
pub(in crate::adapters) fn schedule(row: &impl Columns) -> sqlx::Result<Schedule> {
    Ok(Schedule {
        id: ScheduleId::new(row.id("id")?),
        version: row.number("version")?,
        user_id: UserId::new(row.id("user_id")?),
        cron: row.text("cron")?.to_owned(),
        dialect: row.named("dialect", Dialect::from_name)?,
        tz: row.text("tz")?.to_owned(),
        title: row.text("title")?.to_owned(),
        body: row.text("body")?.to_owned(),
        channels: channels(row)?,
        misfire: row.named("misfire", Misfire::from_name)?,
        enabled: row.flag("enabled")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// Kinds of channels, as their column holds them.
pub(in crate::adapters) fn channel_names(channels: &[ChannelKind]) -> String {
    let names: Vec<_> = channels.iter().map(|channel| channel.name()).collect();
    names.join(" ")
}

/// Reads a user's preferences.
pub(in crate::adapters) fn preferences(row: &impl Columns) -> sqlx::Result<Preferences> {
    Ok(Preferences {
        tz: row.text("tz")?.to_owned(),
        quiet_hours: row
            .optional_text("quiet_hours")?
            .map(from_json)
            .transpose()?,
        digest: row.optional_text("digest")?.map(from_json).transpose()?,
        channels: channels(row)?,
        version: row.number("version")?,
        updated_at: row.optional_time("updated_at")?,
    })
}

/// Reads a notification.
pub(in crate::adapters) fn notification(row: &impl Columns) -> sqlx::Result<Notification> {
    Ok(Notification {
        id: NotificationId::new(row.id("id")?),
        seq: row.number("seq")?,
        user_id: UserId::new(row.id("user_id")?),
        title: row.text("title")?.to_owned(),
        body: row.text("body")?.to_owned(),
        topic: row.optional_text("topic")?.map(str::to_owned),
        urgent: row.flag("urgent")?,
        schedule_id: row.optional_id("schedule_id")?.map(ScheduleId::new),
        scheduled_for: row.optional_time("scheduled_for")?,
        created_at: row.time("created_at")?,
        read_at: row.optional_time("read_at")?,
    })
}

/// Reads an event of a log: where it stands, and what it is, unless another version has written
/// it, or nobody.
pub(in crate::adapters) fn event(
    row: &impl Columns,
) -> sqlx::Result<(u64, sqlx::Result<UserEvent>)> {
    let offset = row.number("position")?;
    let payload = from_json(row.text("payload")?);
    Ok((offset, payload.map(|payload| UserEvent { offset, payload })))
}

fn channels(row: &impl Columns) -> sqlx::Result<Vec<ChannelKind>> {
    let names = row.text("channels")?.split(' ');
    let channels: Option<_> = names.map(ChannelKind::from_name).collect();
    channels.ok_or_else(|| broken("channel", "is unknown"))
}
