//! Arithmetic on what was measured.

use std::time::Duration;

/// A count as a floating-point number. Those of a benchmark are far below 2^53, up to which this is exact.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn mib(kib: u64) -> f64 {
    float(usize::try_from(kib).unwrap_or(usize::MAX)) / 1024.0
}

/// The value below which a part of the values lies, from 0 to 1; 0 of none.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the values")]
    let index = (float(sorted.len()) * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).rev().map(float).collect();
        let quantiles = [0.0, 0.5, 0.99, 1.0].map(|part| quantile(&values, part).to_string());
        assert_eq!(quantiles, ["1", "51", "100", "100"]);
        assert_eq!([median(&[3.0, 1.0, 2.0]), median(&[])].map(|value| value.to_string()), ["2", "0"]);
    }
}
