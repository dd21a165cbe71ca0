//! Amounts of resources, as Kubernetes writes them: `3920m`, `16384256Ki`, `1e3`.
//!
//! Inside, an amount is a whole number of the smallest unit that anyone counts: of `cpu` a thousandth
//! of a core, of everything else one.

/// The longest quantity that is read, in bytes: Kubernetes' canonical forms are shorter.
const TEXT_BYTES_MAX: usize = 32;
/// The largest exponent, and number of decimals, that is read: exa has 18.
const EXPONENT_MAX: u32 = 18;

/// What one of a resource is, in the smallest unit.
fn scale(resource: &str) -> u128 {
    if resource == "cpu" { 1000 } else { 1 }
}

/// The amount that a text means, rounded up; none if it is no quantity, or beyond all counting.
pub fn parse(resource: &str, text: &str) -> Option<u64> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let mantissa: u128 = format!("{whole}{decimals}").parse().ok()?;
    let (times, per) = multiplier(suffix)?;
    let places = u32::try_from(decimals.len()).ok().filter(|places| *places <= EXPONENT_MAX)?;
    let per = per.checked_mul(10_u128.pow(places))?;
    let amount = mantissa.checked_mul(times)?.checked_mul(scale(resource))?.div_ceil(per);
    u64::try_from(amount).ok()
}

/// What a suffix multiplies with, and divides by.
fn multiplier(suffix: &str) -> Option<(u128, u128)> {
    if suffix.is_empty() {
        return Some((1, 1));
    }
    if let Some(small) = ["m", "u", "n"].iter().position(|it| *it == suffix) {
        return Some((1, 1000_u128.pow(small as u32 + 1)));
    }
    if let Some(large) = ["k", "M", "G", "T", "P", "E"].iter().position(|it| *it == suffix) {
        return Some((1000_u128.pow(large as u32 + 1), 1));
    }
    if let Some(binary) = BINARY.iter().position(|it| *it == suffix) {
        return Some((1024_u128.pow(binary as u32 + 1), 1));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_u128.pow(Some(exponent.unsigned_abs()).filter(|it| *it <= EXPONENT_MAX)?);
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The amount, exactly: memory and storage in the largest unit without a fraction.
pub fn text(resource: &str, amount: u64) -> String {
    match resource {
        "cpu" if !amount.is_multiple_of(1000) => format!("{amount}m"),
        "cpu" => (amount / 1000).to_string(),
        _ if is_bytes(resource) && amount > 0 => {
            let (mut amount, mut unit) = (amount, "");
            for larger in BINARY {
                if !amount.is_multiple_of(1024) {
                    break;
                }
                (amount, unit) = (amount / 1024, larger);
            }
            format!("{amount}{unit}")
        }
        _ => amount.to_string(),
    }
}

/// The amount for people: bytes in the largest unit of which there is one, with one decimal.
pub fn brief(resource: &str, amount: u64) -> String {
    if !is_bytes(resource) || amount < 1024 {
        return text(resource, amount);
    }
    let steps = (amount.ilog2() / 10).min(6);
    let tenths = u128::from(amount) * 10 / 1024_u128.pow(steps);
    let unit = BINARY[steps as usize - 1];
    match tenths % 10 {
        0 => format!("{}{unit}", tenths / 10),
        decimal => format!("{}.{decimal}{unit}", tenths / 10),
    }
}

fn is_bytes(resource: &str) -> bool {
    resource == "memory" || resource.ends_with("storage") || resource.starts_with("hugepages-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_means_them() {
        for (resource, text, amount) in [
            ("cpu", "4", Some(4000)),
            ("cpu", "3920m", Some(3920)),
            ("cpu", "0.5", Some(500)),
            ("cpu", "1n", Some(1)),
            ("memory", "16384256Ki", Some(16_777_478_144)),
            ("memory", "1Gi", Some(1 << 30)),
            ("memory", "1G", Some(1_000_000_000)),
            ("memory", "1e3", Some(1000)),
            ("memory", "1E3", Some(1000)),
            ("memory", "1E", Some(1_000_000_000_000_000_000)),
            ("memory", "128974848000m", Some(128_974_848)),
            ("memory", "1.5Gi", Some(1_610_612_736)),
            ("pods", "110", Some(110)),
            ("pods", "1500m", Some(2)),
            ("memory", "99Ei", None),
            ("memory", "1e99", None),
            ("memory", "", None),
            ("memory", "1Q", None),
            ("memory", "-1", None),
            ("memory", "1.2.3", None),
            ("memory", "111111111111111111111111111111111111111111", None),
        ] {
            assert_eq!(parse(resource, text), amount, "{resource} {text}");
        }
    }

    #[test]
    fn amounts_are_written_so_that_they_read_back() {
        for (resource, amount, written, for_people) in [
            ("cpu", 3920, "3920m", "3920m"),
            ("cpu", 4000, "4", "4"),
            ("memory", 16_777_478_144, "16384256Ki", "15.6Gi"),
            ("memory", 1 << 30, "1Gi", "1Gi"),
            ("memory", 1000, "1000", "1000"),
            ("ephemeral-storage", 0, "0", "0"),
            ("nvidia.com/gpu", 2048, "2048", "2048"),
        ] {
            assert_eq!(text(resource, amount), written);
            assert_eq!(brief(resource, amount), for_people);
            assert_eq!(parse(resource, written), Some(amount));
        }
    }
}
