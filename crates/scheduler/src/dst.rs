/// What a fixed-time job does where a zone's offset changes.
///
/// The default is that of Vixie's cron. It concerns *fixed-time* jobs only: an *interval* job,
/// whose second, minute or hour field begins with `*`, and `@every` follow elapsed time: they fire
/// in both passes of a fold and not in a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dst {
    /// What happens to wall times that a zone skips.
    pub gap: Gap,
    /// What happens to wall times that a zone repeats.
    pub fold: Fold,
}

/// What a fixed-time job does with wall times that a zone skips, as when clocks go forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gap {
    /// All that fall into a gap of up to three hours become one fire, at the transition; those in
    /// a larger gap are skipped.
    #[default]
    RunAtTransition,
    /// They are skipped.
    Skip,
    /// Each fires later by the length of the gap, whatever that is: 02:30 becomes 03:30.
    ShiftByGap,
}

/// What a fixed-time job does with wall times that a zone repeats, as when clocks go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fold {
    /// Fires in the first pass.
    #[default]
    First,
    /// Fires in the last pass.
    Last,
    /// Fires in both.
    Both,
}
