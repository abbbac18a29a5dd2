//! Durations, sizes and the shape of a line.

use std::time::Duration;

/// The column in which a line's duration ends.
const WIDTH: usize = 80;

/// One line of talk: two spaces, the name padded to ten, the text, and the duration flush right when there is one.
///
/// ```
/// assert_eq!(
///     feeder_ui::line("tools", "12 of 12 present", None),
///     "  tools      12 of 12 present",
/// );
/// ```
pub fn line(name: &str, text: &str, took: Option<Duration>) -> String {
    let head = format!("  {name:<10} {text}");
    match took {
        None => head.trim_end().to_owned(),
        Some(took) => {
            let took = elapsed(took);
            let room = WIDTH.saturating_sub(took.chars().count() + 1);
            format!("{head:<room$} {took}")
        }
    }
}

/// A duration as people say it: `0.4 s`, `38 s`, `3 min 26 s`, `1 h 5 min`.
pub fn elapsed(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds < 1 {
        format!("{}.{} s", 0, took.subsec_millis() / 100)
    } else if seconds < 120 {
        format!("{seconds} s")
    } else if seconds < 3600 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {} min", seconds / 3600, seconds % 3600 / 60)
    }
}

/// A number of bytes in decimal units, three digits or so: `512 B`, `31.2 MB`, `1.4 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A count with its noun, so that no message says "1 nodes".
///
/// ```
/// assert_eq!(feeder_ui::plural(1, "file"), "1 file");
/// assert_eq!(feeder_ui::plural(14, "file"), "14 files");
/// ```
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (millis, said) in [
            (0, "0.0 s"),
            (449, "0.4 s"),
            (1_999, "1 s"),
            (38_000, "38 s"),
            (119_000, "119 s"),
            (206_000, "3 min 26 s"),
            (3_900_000, "1 h 5 min"),
        ] {
            assert_eq!(elapsed(Duration::from_millis(millis)), said);
        }
    }

    #[test]
    fn sizes() {
        for (bytes, said) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (31_200_000, "31.2 MB"),
            (999_949_999, "999.9 MB"),
            (999_950_000, "1.0 GB"),
            (1_400_000_000, "1.4 GB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(size(bytes), said);
        }
    }

    #[test]
    fn a_line_ends_with_its_duration_in_column_80() {
        let took = Some(Duration::from_secs(38));
        let short = line("cluster00", "power on ▸ SD ▸ kernel8.img ▸ systemd ▸ ssh", took);
        assert_eq!(short.chars().count(), WIDTH);
        assert!(short.starts_with("  cluster00  power on") && short.ends_with(" 38 s"), "{short}");
        let long = line("cluster00", &"x".repeat(90), took);
        assert!(long.ends_with("x 38 s"), "a long text pushes the duration, it is not cut: {long}");
    }
}
