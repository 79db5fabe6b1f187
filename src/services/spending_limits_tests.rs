//! The rules of lowering and raising, without a database.

use super::*;

const NOW: i64 = 1_000;
const LATER: i64 = NOW + RAISE_WAITS_MICROS;

fn rupees(minor: i64) -> Option<Amount> {
    (minor > 0).then(|| Amount::new(minor).unwrap())
}

fn day(minor: i64) -> Change {
    Change { per_day: Some(rupees(minor)), ..Change::default() }
}

fn ahead(minutes: i16) -> Change {
    Change { utc_offset: UtcOffset::from_minutes(minutes), ..Change::default() }
}

fn unlimited() -> WalletLimits {
    WalletLimits::first(Uuid::from_u128(1), None, SpendingLimits::default())
}

/// 0 stands for no limit. What is asked for in turn, what is then in force, what waits.
#[test]
fn lowering_is_at_once_and_raising_waits() {
    for (asked, own, waiting, came) in [
        (&[][..], 0, None, None),
        (&[0], 0, None, None),
        (&[100], 100, None, Some(Came::Lowered)),
        (&[100, 100], 100, None, None),
        (&[100, 60], 60, None, Some(Came::Lowered)),
        (&[100, 200], 100, Some(200), Some(Came::RaiseWaits)),
        (&[100, 0], 100, Some(0), Some(Came::RaiseWaits)),
        (&[100, 200, 200], 100, Some(200), None),
        (&[100, 200, 300], 100, Some(300), Some(Came::RaiseWaits)),
        (&[100, 200, 100], 100, None, Some(Came::TakenBack)),
        (&[100, 200, 60], 60, None, Some(Came::Lowered)),
    ] {
        let mut limits = unlimited();
        let mut last = None;
        for (step, &minor) in asked.iter().enumerate() {
            last = ask(&mut limits, day(minor), NOW + i64::try_from(step).unwrap());
        }
        let waits = limits.raises.per_day.map(|raise| raise.to.map_or(0, Amount::minor));
        assert_eq!((limits.own.per_day, waits, last), (rupees(own), waiting, came), "{asked:?}");
        assert_eq!(in_force(&limits).per_day, rupees(own));
    }
}

#[test]
fn a_raise_that_is_asked_for_again_keeps_its_time() {
    let mut limits = unlimited();
    ask(&mut limits, day(100), NOW);
    ask(&mut limits, day(200), NOW);
    assert_eq!(ask(&mut limits, day(200), NOW + 5), None);
    assert!(!raise_due(&mut limits, LATER - 1));
    assert!(raise_due(&mut limits, LATER));
    assert_eq!((limits.own.per_day, limits.raises), (rupees(200), Raises::default()));
    assert!(!raise_due(&mut limits, LATER));
}

#[test]
fn each_limit_waits_for_itself() {
    let mut limits = unlimited();
    ask(&mut limits, Change { per_payment: Some(rupees(10)), per_month: Some(rupees(500)), ..day(100) }, NOW);
    ask(&mut limits, Change { per_payment: Some(None), ..day(200) }, NOW);
    let came = ask(&mut limits, Change { per_month: Some(rupees(400)), ..day(50) }, NOW + 1);
    assert_eq!(came, Some(Came::Lowered));
    assert_eq!(limits.raises.next_at(), Some(LATER), "that of a payment still waits");
    assert!(raise_due(&mut limits, LATER));
    let own = SpendingLimits { per_day: rupees(50), per_month: rupees(400), ..SpendingLimits::default() };
    assert_eq!(limits.own, own);
}

/// The day could begin anew each minute otherwise, at another offset each time.
#[test]
fn the_beginning_of_the_day_is_moved_as_a_limit_is_raised() {
    let mut limits = unlimited();
    ask(&mut limits, ahead(330), NOW);
    assert_eq!(limits.own.utc_offset.minutes(), 330, "nothing is limited yet");
    ask(&mut limits, Change { per_day: day(100).per_day, ..ahead(60) }, NOW);
    assert_eq!(limits.own.utc_offset.minutes(), 60, "nothing was");
    assert_eq!(ask(&mut limits, ahead(120), NOW), Some(Came::RaiseWaits));
    assert_eq!(limits.own.utc_offset.minutes(), 60);
    assert!(raise_due(&mut limits, LATER));
    assert_eq!(in_force(&limits).utc_offset.minutes(), 120);
}

#[test]
fn the_operators_limits_are_never_exceeded() {
    let operators = SpendingLimits {
        per_day: rupees(100),
        per_month: rupees(900),
        utc_offset: UtcOffset::from_minutes(330).unwrap(),
        ..SpendingLimits::default()
    };
    let mut limits = WalletLimits { operators, ..unlimited() };
    assert_eq!(in_force(&limits), operators);
    assert_eq!(must_be_allowed(&day(101), &operators).unwrap_err().why(), Some(Why::LimitAboveCeiling));
    for change in [day(100), day(0), ahead(60), Change { per_payment: Some(rupees(5_000)), ..day(1) }] {
        must_be_allowed(&change, &operators).unwrap();
    }
    ask(&mut limits, day(40), NOW);
    ask(&mut limits, ahead(60), NOW);
    assert_eq!(in_force(&limits), SpendingLimits { per_day: rupees(40), ..operators });
    limits.operators.per_day = rupees(30);
    assert_eq!(in_force(&limits).per_day, rupees(30));
    limits.operators = SpendingLimits::default();
    assert_eq!(in_force(&limits).per_day, rupees(40));
}

#[test]
fn only_what_the_wallet_has_to_keep_is_to_be_applied() {
    let mut limits = unlimited();
    ask(&mut limits, day(100), NOW);
    assert_eq!((limits.revision, limits.unapplied_since), (1, Some(NOW)));
    ask(&mut limits, day(200), NOW);
    assert_eq!(limits.revision, 1, "it waits");
    ask(&mut limits, day(100), NOW);
    assert_eq!(limits.revision, 1);
}
