//! Numbers of repeated measurements.

/// Samples of one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// Adds some.
    pub(super) fn add(&mut self, samples: impl IntoIterator<Item = f64>) {
        self.0.extend(samples);
        self.0.sort_by(f64::total_cmp);
    }

    /// The smallest: what the machine does when nothing else disturbs it.
    pub(super) fn best(&self) -> Option<f64> {
        self.0.first().copied()
    }

    /// Half of them are below.
    pub(super) fn median(&self) -> Option<f64> {
        self.0.get(self.0.len() / 2).copied()
    }
}

/// A figure with `digits` after the point, or a dash where it was not measured.
pub(super) fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}"))
}

/// A count in groups of three digits.
pub(super) fn grouped(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_smallest() {
        let mut samples = Samples::default();
        assert_eq!(samples.best(), None);
        samples.add([3.0, 1.0]);
        samples.add([2.0]);
        assert_eq!(samples.best(), Some(1.0));
        assert_eq!(samples.median(), Some(2.0));
    }

    #[test]
    fn what_was_not_measured_is_no_zero() {
        assert_eq!(shown(None, 1), "–");
        assert_eq!(shown(Some(0.0), 1), "0.0");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(12.0), "12");
    }
}
