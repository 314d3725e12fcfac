//! The table at the end, and the middle of many measurements.

use std::time::Duration;

/// One line: what was measured, what the bare parts take, and how the two compare.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) ours: String,
    pub(crate) raw: String,
    pub(crate) ratio: f64,
    pub(crate) aim: &'static str,
}

pub(crate) struct Table {
    figures: Vec<Figure>,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self { figures: Vec::new() }
    }

    /// Shows the line at once too: the next group may take a while.
    pub(crate) fn add(&mut self, figure: Figure) {
        println!("{}", line(&figure));
        self.figures.push(figure);
    }

    pub(crate) fn print(&self) {
        println!();
        println!("{:<52} {:>16} {:>18} {:>7}  aim", "figure", "node", "bare parts", "ratio");
        for figure in &self.figures {
            println!("{}", line(figure));
        }
    }
}

fn line(figure: &Figure) -> String {
    let Figure { name, ours, raw, ratio, aim } = figure;
    format!("{name:<52} {ours:>16} {raw:>18} {ratio:>7.2}  {aim}")
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
