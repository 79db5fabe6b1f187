//! Days and months as people count them: numbers of civil days and months at an offset from UTC. Plain arithmetic that
//! has an answer for every moment; no time zones, whose rules change, so the log's moments always fall on the same days.

const DAY_MICROS: i128 = 86_400_000_000;
const MINUTE_MICROS: i128 = 60_000_000;

/// How far a place's clock is ahead of UTC, in minutes: at most 18 hours either way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct UtcOffset(i16);

impl UtcOffset {
    const MINUTES_MAX: i16 = 18 * 60;

    pub fn from_minutes(minutes: i16) -> Option<UtcOffset> {
        (-Self::MINUTES_MAX..=Self::MINUTES_MAX).contains(&minutes).then_some(UtcOffset(minutes))
    }

    pub fn minutes(self) -> i16 {
        self.0
    }
}

/// The civil day of a moment, counted from 1 January 1970 (day 0).
pub fn day_of(time_micros: u64, offset: UtcOffset) -> i32 {
    let local_micros = i128::from(time_micros) + i128::from(offset.0) * MINUTE_MICROS;
    i32::try_from(local_micros.div_euclid(DAY_MICROS)).expect("2^64 microseconds are fewer than 2^31 days")
}

/// The civil month of a day, counted from January of the year 0.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years begin in March, so that the
/// leap day is a year's last, and 400 of them always have 146,097 days.
pub fn month_of(day: i32) -> i32 {
    let day = i64::from(day) + 719_468; // From 1 March of the year 0 on.
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let month = (era * 400 + year_of_era) * 12 + months_since_march + 2;
    i32::try_from(month).expect("2^32 days are fewer than 2^31 months")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(minutes: i16) -> UtcOffset {
        UtcOffset::from_minutes(minutes).expect("not above 18 hours")
    }

    #[test]
    fn every_day_is_in_its_month() {
        let mut date = jiff::civil::date(1890, 1, 1);
        let epoch = jiff::civil::date(1970, 1, 1);
        while date.year() < 2210 {
            let day = (date - epoch).get_days();
            let month = i32::from(date.year()) * 12 + i32::from(date.month()) - 1;
            assert_eq!(month_of(day), month, "{date}");
            date = date.tomorrow().expect("in range");
        }
    }

    #[test]
    fn a_day_begins_where_its_place_says() {
        let midnight = 20_000 * 86_400_000_000_u64;
        for (minutes, before, at) in [(0, 19_999, 20_000), (330, 20_000, 20_000), (-300, 19_999, 19_999)] {
            assert_eq!((day_of(midnight - 1, offset(minutes)), day_of(midnight, offset(minutes))), (before, at));
        }
        let five_thirty = 330 * 60_000_000;
        assert_eq!(day_of(midnight - five_thirty - 1, offset(330)), 19_999);
        assert_eq!(day_of(midnight - five_thirty, offset(330)), 20_000);
        assert_eq!(day_of(0, offset(-1)), -1);
    }

    #[test]
    fn every_moment_has_a_day() {
        for time_micros in [0, u64::MAX] {
            for minutes in [-1_080, 0, 1_080] {
                month_of(day_of(time_micros, offset(minutes)));
            }
        }
        month_of(i32::MIN);
        month_of(i32::MAX);
        assert_eq!(UtcOffset::from_minutes(1_081), None);
        assert_eq!(UtcOffset::from_minutes(-1_081), None);
    }
}
