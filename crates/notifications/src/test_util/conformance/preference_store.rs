use crate::{
    ChannelKind, Digest, IdSource, PortError, PreferenceStore, Preferences, PutOutcome, QuietHours,
    TimeOfDay, Weekday,
};

use super::Examples;

/// Everything that a [`PreferenceStore`] must do.
///
/// # Errors
///
/// If the store fails.
///
/// # Panics
///
/// If the store does something else.
pub async fn preferences(store: &dyn PreferenceStore, ids: &dyn IdSource) -> Result<(), PortError> {
    let examples = Examples::new(ids);
    preferences_come_back_as_they_were_put(store, &examples).await?;
    other_version_changes_nothing(store, &examples).await
}

async fn preferences_come_back_as_they_were_put(
    store: &dyn PreferenceStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let (ann, bob) = (examples.user(), examples.user());
    assert_eq!(store.get(ann).await?, None, "none were set");
    let full = full(2, examples);
    assert_eq!(store.put(ann, &full, 1).await?, PutOutcome::Stored);
    assert_eq!(store.get(ann).await?.as_ref(), Some(&full));
    assert_eq!(store.get(bob).await?, None, "each has their own");

    let bare = Preferences {
        version: 3,
        updated_at: Some(examples.at(1)),
        ..Preferences::unset()
    };
    assert_eq!(store.put(ann, &bare, 2).await?, PutOutcome::Stored);
    assert_eq!(store.get(ann).await?.as_ref(), Some(&bare));
    assert_eq!(store.put(bob, &full, 1).await?, PutOutcome::Stored);
    assert_eq!(store.get(ann).await?.as_ref(), Some(&bare));
    Ok(())
}

async fn other_version_changes_nothing(
    store: &dyn PreferenceStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    for expected in [0, 2] {
        let put = store.put(user, &full(3, examples), expected).await?;
        assert_eq!(put, PutOutcome::Stale, "who set none has version one");
    }
    assert_eq!(store.get(user).await?, None);
    let second = full(2, examples);
    store.put(user, &second, 1).await?;
    for expected in [0, 1, 3] {
        let put = store.put(user, &full(4, examples), expected).await?;
        assert_eq!(put, PutOutcome::Stale);
    }
    assert_eq!(store.get(user).await?.as_ref(), Some(&second));
    Ok(())
}

fn full(version: u64, examples: &Examples<'_>) -> Preferences {
    let time = |text: &str| -> Option<TimeOfDay> { text.parse().ok() };
    let quiet = time("22:00").zip(time("06:59"));
    Preferences {
        tz: "America/Argentina/Buenos_Aires".into(),
        quiet_hours: quiet.map(|(from, to)| QuietHours {
            from,
            to,
            days: vec![Weekday::Sun, Weekday::Wed],
        }),
        digest: Some(Digest {
            at: ["18:00", "08:05"].into_iter().filter_map(time).collect(),
        }),
        channels: ChannelKind::ALL.to_vec(),
        version,
        updated_at: Some(examples.now),
    }
}
