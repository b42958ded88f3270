//! Figures as people read them, never wider than eight columns.

/// Formats a count with thousands apart, from ten million on in short.
pub(super) fn count(value: f64) -> String {
    match value {
        value if value >= 1e10 => format!("{:.1}G", value / 1e9),
        value if value >= 1e7 => format!("{:.1}M", value / 1e6),
        value => thousands(value.max(0.0).round() as u64),
    }
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a rate: small ones with a decimal.
pub(super) fn rate(value: f64) -> String {
    match value {
        value if value <= 0.0 => "0".to_owned(),
        value if value < 10.0 => format!("{value:.1}"),
        value => count(value),
    }
}

/// Formats bytes in binary units.
pub(super) fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value.max(0.0), 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value:.0} B"),
        _ if value < 10.0 => format!("{value:.1} {}", units[unit]),
        _ => format!("{value:.0} {}", units[unit]),
    }
}

/// Formats a duration of an observation, in seconds.
pub(super) fn latency(seconds: f64) -> String {
    let us = seconds * 1e6;
    match us {
        us if us < 1000.0 => format!("{us:.0} us"),
        us if us < 10_000.0 => format!("{:.1} ms", us / 1e3),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// Formats an age in its two largest units.
pub(super) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(12_345_678.0), "12.3M");
        assert_eq!(count(999.0), "999");
        assert_eq!(rate(0.25), "0.2");
        assert_eq!(rate(1234.0), "1,234");
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(1023.0), "1.0 KiB");
        assert_eq!(bytes(65_536.0), "64 KiB");
        assert_eq!(bytes(5.5 * 1024.0 * 1024.0), "5.5 MiB");
        assert_eq!(latency(0.000_5), "500 us");
        assert_eq!(latency(0.001_25), "1.2 ms");
        assert_eq!(latency(0.25), "250 ms");
        assert_eq!(latency(3.0), "3.0 s");
        assert_eq!(age(59), "59s");
        assert_eq!(age(61), "1m01s");
        assert_eq!(age(7260), "2h01m");
        assert_eq!(age(90_000), "1d01h");
    }
}
