//! Collects everything that is wrong with an input, field by field.

use crate::{ChannelKind, FieldError, Invalid, PageRequest};

/// The longest title, in characters.
pub const MAX_TITLE: usize = 200;
/// The longest text, in characters.
pub const MAX_BODY: usize = 4_000;
/// The longest topic, in characters.
pub const MAX_TOPIC: usize = 100;
/// The longest name of a channel, in characters.
pub const MAX_CHANNEL_NAME: usize = 100;
/// The longest URL or address of a channel, in bytes.
pub const MAX_TARGET: usize = 2_000;
/// The longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;
/// The most ids that one call takes.
pub const MAX_IDS: usize = 200;

/// The findings so far; a check that passes adds nothing.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<FieldError>);

impl Findings {
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    }

    pub(crate) fn title(&mut self, title: &str) {
        self.one_line("/title", title);
        match title.chars().count() {
            _ if title.trim().is_empty() => self.add("/title", "must not be empty"),
            length if length > MAX_TITLE => {
                let detail = format!("has {length} characters, at most {MAX_TITLE} are allowed");
                self.add("/title", detail);
            }
            _ => {}
        }
    }

    fn one_line(&mut self, pointer: &str, text: &str) {
        if text.contains(char::is_control) {
            self.add(
                pointer,
                "must not contain line breaks or other control characters",
            );
        }
    }

    pub(crate) fn body(&mut self, body: &str) {
        if body.contains('\0') {
            self.add("/body", "must not contain the character NUL");
        }
        let length = body.chars().count();
        if length > MAX_BODY {
            let detail = format!("has {length} characters, at most {MAX_BODY} are allowed");
            self.add("/body", detail);
        }
    }

    pub(crate) fn topic(&mut self, topic: Option<&str>) {
        self.one_line("/topic", topic.unwrap_or_default());
        let length = topic.map(|topic| topic.chars().count());
        if length.is_some_and(|length| length == 0 || length > MAX_TOPIC) {
            self.add("/topic", format!("must have 1 to {MAX_TOPIC} characters"));
        }
    }

    pub(crate) fn channel_name(&mut self, name: &str) {
        self.one_line("/name", name);
        let length = name.chars().count();
        if name.trim().is_empty() || length > MAX_CHANNEL_NAME {
            let detail = format!("must have 1 to {MAX_CHANNEL_NAME} characters");
            self.add("/name", detail);
        }
    }

    /// What every URL and address must be, whatever is behind it.
    pub(crate) fn target(&mut self, pointer: &str, text: &str) {
        self.one_line(pointer, text);
        if text.len() > MAX_TARGET {
            let detail = format!("has {} bytes, at most {MAX_TARGET} are allowed", text.len());
            self.add(pointer, detail);
        }
    }

    pub(crate) fn idempotency_key(&mut self, key: Option<&str>) {
        let fits = |key: &str| {
            (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len())
                && key.bytes().all(|b| b.is_ascii_graphic())
        };
        if !key.is_none_or(fits) {
            let detail = format!("must be 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters");
            self.add("/idempotency_key", detail);
        }
    }

    pub(crate) fn ids(&mut self, count: usize) {
        if count > MAX_IDS {
            self.add(
                "/ids",
                format!("has {count} ids, at most {MAX_IDS} are allowed"),
            );
        }
    }

    /// The channels of those names, in the order in which they are named.
    pub(crate) fn channels(&mut self, names: &[String]) -> Vec<ChannelKind> {
        self.each("/channels", names, ChannelKind::ALL.len(), |name| {
            let known = || ChannelKind::ALL.map(ChannelKind::name).join(", ");
            let unknown = || format!("is no channel; there are: {}", known());
            ChannelKind::from_name(name).ok_or_else(unknown)
        })
    }

    /// What the items of a list stand for, of which there must be one at least and each once.
    ///
    /// No more than twice `max` of them are looked at: where there are no more than `max` valid
    /// ones, that finds one that is wrong, if there are more.
    pub(crate) fn each<T: PartialEq>(
        &mut self,
        pointer: &str,
        items: &[String],
        max: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        if items.is_empty() {
            self.add(pointer, "must not be empty");
        }
        let mut parsed = Vec::new();
        for (index, item) in items.iter().enumerate().take(2 * max) {
            match parse(item) {
                Ok(item) if parsed.contains(&item) => {
                    self.add(format!("{pointer}/{index}"), "is there twice");
                }
                Ok(item) => parsed.push(item),
                Err(detail) => self.add(format!("{pointer}/{index}"), detail),
            }
        }
        parsed
    }

    /// The limit of a page, and what its cursor stands for.
    pub(crate) fn page<C>(
        &mut self,
        page: &PageRequest,
        parse: impl Fn(&str) -> Option<C>,
    ) -> Option<C> {
        if !(1..=PageRequest::MAX_LIMIT).contains(&page.limit) {
            let detail = format!("must be from 1 to {}", PageRequest::MAX_LIMIT);
            self.add("/limit", detail);
        }
        let text = page.cursor.as_deref()?;
        let cursor = parse(text);
        if cursor.is_none() {
            self.add("/cursor", "is not the `next` of a page of this list");
        }
        cursor
    }

    /// Ends the checks: what was found, if anything was.
    pub(crate) fn finish(self) -> Result<(), Invalid> {
        self.finish_with(Some(()))
    }

    /// Ends the checks with what they made, which is there if they found nothing.
    pub(crate) fn finish_with<T>(self, checked: Option<T>) -> Result<T, Invalid> {
        match checked {
            Some(checked) if self.0.is_empty() => Ok(checked),
            _ => Err(Invalid { errors: self.0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(check: impl FnOnce(&mut Findings)) -> Vec<String> {
        let mut findings = Findings::default();
        check(&mut findings);
        findings.0.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn lengths_count_characters_at_both_ends() {
        assert_eq!(pointers(|f| f.title("")), ["/title"]);
        assert_eq!(pointers(|f| f.title(" ")), ["/title"]);
        assert_eq!(pointers(|f| f.title("a\nb")), ["/title"]);
        assert_eq!(pointers(|f| f.topic(Some("a\0"))), ["/topic"]);
        assert_eq!(pointers(|f| f.body("a\0")), ["/body"]);
        assert!(pointers(|f| f.body("a\nb")).is_empty());
        assert!(pointers(|f| f.title(&"ü".repeat(MAX_TITLE))).is_empty());
        assert_eq!(
            pointers(|f| f.title(&"x".repeat(MAX_TITLE + 1))),
            ["/title"]
        );
        assert!(pointers(|f| f.body(&"ü".repeat(MAX_BODY))).is_empty());
        assert_eq!(pointers(|f| f.body(&"x".repeat(MAX_BODY + 1))), ["/body"]);
        assert_eq!(pointers(|f| f.topic(Some(""))), ["/topic"]);
        assert!(pointers(|f| f.topic(None)).is_empty());
        assert_eq!(pointers(|f| f.ids(MAX_IDS + 1)), ["/ids"]);
    }

    #[test]
    fn channel_at_fault_is_pointed_at() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            pointers(|f| drop(f.channels(&names(&["ws", "smoke"])))),
            ["/channels/1"]
        );
        assert_eq!(
            pointers(|f| drop(f.channels(&names(&["ws", "ws"])))),
            ["/channels/1"]
        );
        assert_eq!(pointers(|f| drop(f.channels(&[]))), ["/channels"]);
        assert_eq!(
            pointers(|f| drop(f.channels(&names(&["x"; 1000])))).len(),
            2 * ChannelKind::ALL.len()
        );
    }

    #[test]
    fn key_must_be_visible_ascii() {
        assert!(pointers(|f| f.idempotency_key(Some("a-1"))).is_empty());
        for bad in ["", "a b", "ü", &"x".repeat(MAX_IDEMPOTENCY_KEY + 1)] {
            assert_eq!(
                pointers(|f| f.idempotency_key(Some(bad))),
                ["/idempotency_key"],
                "{bad:?}"
            );
        }
    }

    #[test]
    fn page_errors_come_together() {
        let page = PageRequest {
            limit: 0,
            cursor: Some("nonsense".into()),
        };
        let found = pointers(|f| {
            let cursor = f.page(&page, |text| text.parse::<u64>().ok());
            assert_eq!(cursor, None);
        });
        assert_eq!(found, ["/limit", "/cursor"]);
    }
}
