//! The form of a figure, and the middle of many measurements.

use std::time::Duration;

use mesh_testkit::{Figures, Raw};

/// One line: what was measured, what the bare parts take, and how the two compare.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) ours: String,
    pub(crate) raw: String,
    pub(crate) ratio: f64,
    pub(crate) aim: &'static str,
}

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

impl Figure {
    /// Shows and keeps it.
    pub(crate) fn add(&self) {
        let Self { name, ours, raw, ratio, aim } = self;
        FIGURES.add(name, ours, aim, Raw::new(raw.as_str(), *ratio));
    }
}

/// The value below which so many per cent of all lie.
pub(crate) fn percentile<T: PartialOrd + Copy>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap());
    *sorted.get(sorted.len() * percent / 100).unwrap()
}

pub(crate) fn middle<T: PartialOrd + Copy>(values: &[T]) -> T {
    percentile(values, 50)
}

pub(crate) fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}
