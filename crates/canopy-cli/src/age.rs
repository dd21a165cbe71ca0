//! Durations as kubectl writes them: at most two units, the finer the shorter.

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// Writes a duration of so many milliseconds.
pub(crate) fn text(milliseconds: u64) -> String {
    let two = |large: (u64, &str), small: (u64, &str)| {
        let (whole, rest) = (milliseconds / large.0, milliseconds % large.0 / small.0);
        if rest == 0 { format!("{whole}{}", large.1) } else { format!("{whole}{}{rest}{}", large.1, small.1) }
    };
    match milliseconds {
        ms if ms < 2 * MINUTE => format!("{}s", ms / SECOND),
        ms if ms < 10 * MINUTE => two((MINUTE, "m"), (SECOND, "s")),
        ms if ms < 3 * HOUR => format!("{}m", ms / MINUTE),
        ms if ms < 8 * HOUR => two((HOUR, "h"), (MINUTE, "m")),
        ms if ms < 2 * DAY => format!("{}h", ms / HOUR),
        ms if ms < 8 * DAY => two((DAY, "d"), (HOUR, "h")),
        ms if ms < 2 * YEAR => format!("{}d", ms / DAY),
        ms if ms < 8 * YEAR => two((YEAR, "y"), (DAY, "d")),
        ms => format!("{}y", ms / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_in_kubectl() {
        for (milliseconds, expected) in [
            (999, "0s"),
            (119 * SECOND, "119s"),
            (2 * MINUTE, "2m"),
            (5 * MINUTE + 7 * SECOND, "5m7s"),
            (100 * MINUTE, "100m"),
            (4 * HOUR + 12 * MINUTE, "4h12m"),
            (47 * HOUR, "47h"),
            (3 * DAY + 4 * HOUR, "3d4h"),
            (400 * DAY, "400d"),
            (3 * YEAR + 12 * DAY, "3y12d"),
            (9 * YEAR, "9y"),
        ] {
            assert_eq!(text(milliseconds), expected);
        }
    }
}
