use steadfast_notifications::{
    Channel, ChannelId, ChannelKind, ChannelTarget, Delivery, DeliveryId, DeliveryState,
    DueDelivery, NotificationId, Secret, StoredChannel, UserId,
};

use super::{Columns, broken};

/// Reads a channel with its secret.
pub(in crate::adapters) fn stored_channel(row: &impl Columns) -> sqlx::Result<StoredChannel> {
    let kind = row.named("kind", ChannelKind::from_name)?;
    let target = ChannelTarget::new(kind, row.text("target")?.to_owned());
    Ok(StoredChannel {
        channel: Channel {
            id: ChannelId::new(row.id("id")?),
            version: row.number("version")?,
            user_id: UserId::new(row.id("user_id")?),
            name: row.text("name")?.to_owned(),
            target: target.ok_or_else(|| broken("kind", "has no target"))?,
            enabled: row.flag("enabled")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        },
        secret: row
            .optional_text("secret")?
            .map(str::to_owned)
            .map(Secret::new),
    })
}

/// Reads a delivery.
pub(in crate::adapters) fn delivery(row: &impl Columns) -> sqlx::Result<Delivery> {
    let attempts = u32::try_from(row.number("attempts")?);
    Ok(Delivery {
        id: DeliveryId::new(row.id("id")?),
        user_id: UserId::new(row.id("user_id")?),
        channel_id: ChannelId::new(row.id("channel_id")?),
        notification_id: NotificationId::new(row.id("notification_id")?),
        state: row.named("state", DeliveryState::from_name)?,
        digest: row.flag("digest")?,
        urgent: row.flag("urgent")?,
        available_at: row.time("available_at")?,
        attempts: attempts.map_err(|_| broken("attempts", "are too many"))?,
        last_error: row.optional_text("last_error")?.map(str::to_owned),
        created_at: row.time("created_at")?,
        finished_at: row.optional_time("finished_at")?,
    })
}

/// Reads a delivery whose notification has yet to be added.
pub(in crate::adapters) fn due_delivery(row: &impl Columns) -> sqlx::Result<DueDelivery> {
    Ok(DueDelivery {
        delivery: delivery(row)?,
        pending_since: row.time("pending_since")?,
        notification: None,
    })
}
