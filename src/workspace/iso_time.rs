//! Times as text: `2026-01-31T12:00:00.123456`, in UTC and without a zone, as the reference
//! writes them.

use std::fmt::Write;

const DAY: i64 = 86_400;

/// Seconds since 1970 as ISO text.
pub fn format_iso(unix: f64) -> String {
    let micros = (unix * 1e6).round() as i64;
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let mut text = String::with_capacity(26);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    );
    text
}

/// Reads `YYYY-MM-DD[(T| )HH:MM[:SS[.f]]][Z|±HH[:]MM]`; without a zone it is UTC.
pub fn parse_iso(text: &str) -> Option<f64> {
    let text = text.trim();
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = match clock {
        Some(clock) => parse_clock(clock)?,
        None => 0.0,
    };
    Some((days_from_civil(year, month, day) * DAY) as f64 + seconds)
}

fn parse_clock(text: &str) -> Option<f64> {
    let (clock, offset) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => (&text[..at], parse_zone(&text[at..])?),
        None => (text, 0.0),
    };
    let mut parts = clock.splitn(3, ':');
    let hours: f64 = parts.next()?.parse().ok()?;
    let minutes: f64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().map_or(Some(0.0), |part| part.parse().ok())?;
    let valid = (0.0..24.0).contains(&hours)
        && (0.0..60.0).contains(&minutes)
        && (0.0..61.0).contains(&seconds);
    valid.then_some(hours * 3600.0 + minutes * 60.0 + seconds - offset)
}

fn parse_zone(text: &str) -> Option<f64> {
    let sign = match text.chars().next()? {
        'Z' | 'z' => return (text.len() == 1).then_some(0.0),
        '-' => -1.0,
        _ => 1.0,
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let hours: f64 = digits[..2].parse().ok()?;
    let minutes: f64 = digits
        .get(2..4)
        .map_or(Some(0.0), |part| part.parse().ok())?;
    Some(sign * (hours * 3600.0 + minutes * 60.0))
}

/// Days since 1970 of a date in the Gregorian calendar (Hinnant's algorithm).
/// Days from 1970-01-01 to a date.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        assert_eq!(format_iso(0.0), "1970-01-01T00:00:00.000000");
        assert_eq!(
            format_iso(1_795_560_684.863_269),
            "2026-11-24T22:51:24.863269"
        );
        assert_eq!(parse_iso("2026-11-24T22:51:24"), Some(1_795_560_684.0));
        assert_eq!(
            parse_iso("2026-11-24T23:51:24+01:00"),
            Some(1_795_560_684.0)
        );
        assert_eq!(parse_iso("1970-01-02"), Some(86_400.0));
        for bad in [
            "",
            "now",
            "2026-13-01",
            "2026-01-01T25:00",
            "2026-01-01T1",
            "2026-01-01T00:00+1",
        ] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn text_and_back(seconds in 0i64..253_402_300_799) {
            proptest::prop_assert_eq!(parse_iso(&format_iso(seconds as f64)), Some(seconds as f64));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse_iso(&text);
        }
    }
}
