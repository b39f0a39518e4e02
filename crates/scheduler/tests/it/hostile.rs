//! Texts that are nearly expressions: each is read as the rules say or refused with a span in the
//! field at fault, named together with what it may hold.

use jiff::{Timestamp, tz::TimeZone};
use proptest::{prelude::*, sample::select};
use steadfast_scheduler::{Dialect, Field, Spec, SpecError};

const DIALECTS: [Dialect; 2] = [Dialect::Posix5, Dialect::Quartz6];

const VALID: &[&str] = &[
    "* * * * *",
    "*/15 9-17 * * MON-FRI",
    "0 0 29 2 *",
    "5,10-20/5 0 1,15 JAN-MAR 0,7",
    "0 0 1 * ?",
    "* * * * * *",
    "0 30 8 ? * MON,WED-FRI",
    "*/10 5-59/6 0-23 1-31 JAN,6-12/2 1-7",
    "@hourly",
    "@every 1h30m",
];

/// What is put into valid expressions: numbers too great for each integer type, steps of zero,
/// digits, spaces and letters that are only alike, and signs where none belong.
const FOREIGN: &[&str] = &[
    "256",
    "4294967296",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "0-99999999999",
    "99999999999-0",
    "/0",
    "*/0",
    "/4294967297",
    "-",
    "--",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "0x1",
    "/",
    "//",
    ",",
    ",,,",
    "*",
    "?",
    "#3",
    "L",
    "15W",
    "@",
    "@every ",
    "\u{0}",
    "\t",
    "\n",
    "\r\n",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{a0}",
    "\u{2003}",
    "\u{200b}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "e\u{301}",
    "１",
    "٣",
    "𝟙",
    "ß",
    "İ",
    "ſ",
    "\u{212a}",
    "🕐",
    "_",
    "\\",
    "\"",
    "{}",
    "%s",
];

fn fields(dialect: Dialect) -> Vec<(Field, u32, u32)> {
    let seconds = (dialect == Dialect::Quartz6).then_some((Field::Second, 0, 59));
    let weekdays = match dialect {
        Dialect::Posix5 => (Field::DayOfWeek, 0, 7),
        _ => (Field::DayOfWeek, 1, 7),
    };
    let rest = [
        (Field::Minute, 0, 59),
        (Field::Hour, 0, 23),
        (Field::DayOfMonth, 1, 31),
        (Field::Month, 1, 12),
        weekdays,
    ];
    seconds.into_iter().chain(rest).collect()
}

/// An expression whose fields are all `*`, but for one.
fn with_field(dialect: Dialect, position: usize, text: &str) -> String {
    let mut texts = vec!["*"; fields(dialect).len()];
    texts[position] = text;
    texts.join(" ")
}

/// What holds for each text, whatever it is.
fn check(text: &str, dialect: Dialect) -> Result<(), TestCaseError> {
    match Spec::parse(text, dialect) {
        Ok(spec) => {
            prop_assert!(text.is_ascii(), "{text:?} was read as {spec}");
            prop_assert_eq!(Spec::parse(&spec.to_string(), dialect), Ok(spec.clone()));
            let next = spec.next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC);
            prop_assert!(next > Some(Timestamp::UNIX_EPOCH), "{text:?}: {next:?}");
        }
        Err(error) => check_error(text, dialect, &error)?,
    }
    Ok(())
}

fn check_error(text: &str, dialect: Dialect, error: &SpecError) -> Result<(), TestCaseError> {
    let message = error.to_string();
    if let SpecError::FieldCount { found, .. } = error {
        prop_assert_eq!(*found, text.split_ascii_whitespace().count());
        prop_assert_ne!(*found, fields(dialect).len());
        return Ok(());
    }
    prop_assert!(message.contains("allowed"), "{}", message);
    let Some(span) = error.span() else {
        prop_assert!(text.len() > Spec::MAX_LENGTH, "{message} for {text:?}");
        return Ok(());
    };
    let part = text.get(span.clone());
    let part = part.ok_or_else(|| TestCaseError::fail(format!("{message} is not of {text:?}")))?;
    prop_assert!(
        message.contains(&format!("{part:?}")),
        "{message} for {text:?}"
    );
    let Some(field) = error.field() else {
        return Ok(());
    };
    prop_assert!(message.starts_with(&field.to_string()), "{}", message);
    // The span is in the very field that is named.
    let position = fields(dialect).iter().position(|(of, ..)| *of == field);
    let whole = text
        .split_ascii_whitespace()
        .nth(position.unwrap())
        .unwrap();
    let start = whole.as_ptr() as usize - text.as_ptr() as usize;
    prop_assert!(
        start <= span.start && span.end <= start + whole.len(),
        "{message} for {text:?}"
    );
    Ok(())
}

fn refused_at(text: &str, dialect: Dialect, field: Field) -> Result<(), TestCaseError> {
    let error = Spec::parse(text, dialect);
    let error = error.err().and_then(|error| error.field());
    prop_assert_eq!(error, Some(field), "{:?}", text);
    check(text, dialect)
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(&'static str),
    Replace(&'static str),
    Delete,
    Repeat(usize),
    Truncate,
}

fn edit() -> impl Strategy<Value = (prop::sample::Index, Edit)> {
    let edit = prop_oneof![
        3 => select(FOREIGN).prop_map(Edit::Insert),
        3 => select(FOREIGN).prop_map(Edit::Replace),
        2 => Just(Edit::Delete),
        1 => (2_usize..40).prop_map(Edit::Repeat),
        1 => Just(Edit::Truncate),
    ];
    (any::<prop::sample::Index>(), edit)
}

fn edited(text: &str, edits: &[(prop::sample::Index, Edit)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, edit) in edits.iter().filter(|_| !text.is_empty()) {
        if chars.is_empty() {
            break;
        }
        let at = at.index(chars.len());
        let (taken, new): (usize, Vec<char>) = match edit {
            Edit::Insert(text) => (0, text.chars().collect()),
            Edit::Replace(text) => (1, text.chars().collect()),
            Edit::Delete => (1, Vec::new()),
            Edit::Repeat(times) => (1, vec![chars[at]; *times]),
            Edit::Truncate => (chars.len() - at, Vec::new()),
        };
        chars.splice(at..at + taken, new);
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn edited_expressions_are_read_or_refused_in_the_field_at_fault(
        text in select(VALID),
        edits in prop::collection::vec(edit(), 1..5),
    ) {
        let text = edited(text, &edits);
        for dialect in DIALECTS {
            check(&text, dialect)?;
        }
    }

    #[test]
    fn words_with_anything_after_them_are_read_or_refused(
        word in select(&["@every", "@daily", "@", ""][..]),
        parts in prop::collection::vec(select(FOREIGN), 1..4),
        space in select(&["", " ", "  ", "\t"][..]),
    ) {
        for text in [format!("{word}{space}{}", parts.concat()), parts.join(word)] {
            for dialect in DIALECTS {
                check(&text, dialect)?;
            }
        }
    }

    #[test]
    fn numbers_above_a_field_s_greatest_are_refused_however_great(
        above in prop_oneof![1_u128..300, any::<u128>().prop_map(|above| above / 2 + 1)],
        position in any::<prop::sample::Index>(),
        dialect in select(&DIALECTS[..]),
    ) {
        let fields = fields(dialect);
        let position = position.index(fields.len());
        let (field, least, most) = fields[position];
        let value = u128::from(most) + above;
        for text in [
            value.to_string(),
            format!("{value}0000000000"),
            format!("{least}-{value}"),
            format!("{value}-{value}"),
            format!("{least},{value}"),
            format!("{value}/2"),
            format!("{least}-{value}/2"),
        ] {
            refused_at(&with_field(dialect, position, &text), dialect, field)?;
        }
        for text in [format!("*/{value}"), format!("{least}-{most}/{value}")] {
            check(&with_field(dialect, position, &text), dialect)?;
        }
    }

    #[test]
    fn spaces_of_ascii_separate_and_no_others(
        text in select(VALID),
        spaces in "[ \t\n\r\u{c}]{1,4}",
        other in select(&["\u{b}", "\u{85}", "\u{a0}", "\u{2003}", "\u{200b}", "\u{3000}"][..]),
    ) {
        let separated = format!("{spaces}{}{spaces}", text.replace(' ', &spaces));
        for dialect in DIALECTS {
            prop_assert_eq!(
                Spec::parse(&separated, dialect).ok(),
                Spec::parse(text, dialect).ok()
            );
            for text in [text.replace(' ', other), format!("{text}{other}")] {
                check(&text, dialect)?;
                prop_assert!(text.find(other).is_none() || Spec::parse(&text, dialect).is_err());
            }
        }
    }
}

#[test]
fn steps_of_zero_and_ranges_that_go_backwards_are_refused_in_every_field() {
    for dialect in DIALECTS {
        for (position, (field, least, most)) in fields(dialect).into_iter().enumerate() {
            for text in [
                "*/0".to_owned(),
                "*/00".to_owned(),
                format!("{least}/0"),
                format!("{least}-{most}/0"),
                format!("{},{least}/0", least + 1),
                // A range of weekdays may end with Sunday's 0.
                format!("{}-{}", most - 1, least + 1),
                "-1".to_owned(),
                "+1".to_owned(),
                "1-".to_owned(),
                "1-2-3".to_owned(),
                "1/2/3".to_owned(),
                "*-3".to_owned(),
                ",".to_owned(),
                "1,".to_owned(),
                "１".to_owned(),
            ] {
                let text = with_field(dialect, position, &text);
                refused_at(&text, dialect, field).unwrap();
            }
        }
    }
}

/// What these tests have found.
#[test]
fn spaces_that_do_not_separate_after_every_are_an_error_and_no_panic() {
    for space in ["\u{b}", "\u{85}", "\u{a0}", "\u{2003}", "\u{3000}"] {
        for (text, start) in [
            (format!("@every {space}"), 7),
            (format!("@every 1h{space} "), 7),
            (format!("@daily{space}"), 0),
            (format!("@every  {space}\t{space}  "), 8),
        ] {
            let error = Spec::parse(&text, Dialect::Posix5).unwrap_err();
            let end = text.trim_end_matches(' ').len();
            assert_eq!(error.span(), Some(start..end), "{text:?}");
            check(&text, Dialect::Posix5).unwrap();
        }
    }
}

#[test]
fn letters_that_fold_to_others_are_not_names() {
    // U+017F is a long s, U+0130 an I with a dot: upper and lower case of ASCII letters.
    for text in [
        "* * * * ſun",
        "* * * * frİ",
        "@hourlY\u{301}",
        "@wee\u{212a}ly",
    ] {
        assert!(Spec::parse(text, Dialect::Posix5).is_err(), "{text:?}");
        check(text, Dialect::Posix5).unwrap();
    }
}

#[test]
fn periods_that_overflow_are_refused_and_say_what_is_allowed() {
    for duration in [
        "0s",
        "0d0h0m0s",
        "367d",
        "18446744073709551616s",
        "18446744073709551615d",
        "9223372036854775807h9223372036854775807m",
        "340282366920938463463374607431768211456m",
        "-1s",
        "1.5h",
        "１h",
        "1ſ",
        "1",
        "s",
        "1s1s",
        "1m1h",
        "",
    ] {
        let text = format!("@every {duration}");
        let error = Spec::parse(&text, Dialect::Posix5).unwrap_err();
        assert!(
            matches!(error, SpecError::Every { .. }),
            "{text:?}: {error}"
        );
        check(&text, Dialect::Posix5).unwrap();
    }
}

#[test]
fn the_longest_texts_are_read_and_longer_ones_are_not() {
    let list = "0-59,".repeat(Spec::MAX_LENGTH);
    let longest = format!("{} * * * *", &list[..4 + 5 * 48]);
    let spec = Spec::parse(&longest, Dialect::Posix5).unwrap();
    let minute = Spec::parse("* * * * *", Dialect::Posix5).unwrap();
    assert_eq!(spec.shortest_interval(), minute.shortest_interval());

    let fill = |length: usize| format!("* * * * {}*", " ".repeat(length - 9));
    assert!(Spec::parse(&fill(Spec::MAX_LENGTH), Dialect::Posix5).is_ok());
    for length in [Spec::MAX_LENGTH + 1, 10_000_000] {
        let error = Spec::parse(&fill(length), Dialect::Posix5).unwrap_err();
        let max = Spec::MAX_LENGTH;
        assert_eq!(error, SpecError::TooLong { length, max });
    }
}
