//! `strftime_now` of chat templates, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use super::TRAINING_DATE;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What time a template sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// The system's.
    Now,
    /// Midnight of [`TRAINING_DATE`].
    Training,
}

/// A moment, in seconds since 1970 and as a date.
#[derive(Debug, Clone, Copy)]
struct Moment {
    seconds: i64,
    year: i64,
    month: u32,
    day: u32,
}

impl Clock {
    fn moment(self) -> Moment {
        let seconds = match self {
            Self::Now => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64),
            Self::Training => days_from_civil(TRAINING_DATE) * 86_400,
        };
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        Moment { seconds, year, month, day }
    }

    /// The time in a format of C's `strftime`.
    ///
    /// # Errors
    /// If the format has a directive that is not known here.
    pub(super) fn format(self, format: &str) -> Result<String, String> {
        let moment = self.moment();
        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match chars.next() {
                Some('-') => {
                    let number = moment.directive(chars.next())?;
                    let short = number.trim_start_matches('0');
                    text.push_str(if short.is_empty() { "0" } else { short });
                }
                directive => text.push_str(&moment.directive(directive)?),
            }
        }
        Ok(text)
    }
}

impl Moment {
    fn directive(&self, directive: Option<char>) -> Result<String, String> {
        let Self { year, month, day, .. } = *self;
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let month_name = MONTHS[(month as usize - 1) % 12];
        let day_name = DAYS[(self.seconds.div_euclid(86_400) + 4).rem_euclid(7) as usize];
        let day_of_year = days_from_civil((year, month, day)) - days_from_civil((year, 1, 1)) + 1;
        Ok(match directive {
            Some('Y') => format!("{year}"),
            Some('y') => format!("{:02}", year.rem_euclid(100)),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('A') => day_name.to_owned(),
            Some('a') => day_name[..3].to_owned(),
            Some('j') => format!("{day_of_year:03}"),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{:02}", (hour + 11) % 12 + 1),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{:02}", second % 60),
            Some('p') => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{:02}", second % 60),
            Some('Z') => "UTC".to_owned(),
            Some('%') => "%".to_owned(),
            other => return Err(format!("strftime_now: unknown directive {other:?}")),
        })
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; years begin in March, so that the leap
/// day is the last.
fn days_from_civil((year, month, day): (i64, u32, u32)) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        for (date, days) in [((1970, 1, 1), 0), ((2000, 2, 29), 11_016), ((2026, 1, 1), 20_454)] {
            assert_eq!(days_from_civil(date), days);
            assert_eq!(civil_from_days(days), date);
        }
        for days in (-200_000..200_000).step_by(37) {
            assert_eq!(days_from_civil(civil_from_days(days)), days);
        }
    }

    #[test]
    fn formats() {
        let format = |text: &str| Clock::Training.format(text);
        assert_eq!(format("%d %b %Y").as_deref(), Ok("01 Jan 2026"));
        assert_eq!(format("%A, %B %-d; %j %H:%M").as_deref(), Ok("Thursday, January 1; 001 00:00"));
        assert_eq!(format("%I %p 100%%").as_deref(), Ok("12 AM 100%"));
        assert!(format("%Q").is_err());
        assert!(format("%").is_err());
    }
}
