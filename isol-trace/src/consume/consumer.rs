//! What takes the events of a trace, and how several take the same.

use std::io;

use crate::event::model::{Event, Totals, TracerSummary};

/// What a consumer still takes. Of several the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Every event.
    All,
    /// No events for now: what it has must go out first.
    Later,
    /// No more events, for a fault of its own. It is given them all the same.
    Failed,
    /// Nobody is there any more to take any, as behind `head`.
    Closed,
}

/// What takes the events of a trace. A trace that runs and one that is read from a log look the same: the header comes first,
/// then events in their order, and the summary last. Where one of several consumers faults, the others are given the rest
/// all the same: so nothing here returns an error, and [`Self::demand`] and [`Self::take_error`] tell of one.
pub trait Consumer {
    /// Takes an event: of a whole trace the first is its header, and the last its summary.
    fn event(&mut self, event: &Event);

    /// Takes the totals as they stand: now and then, while a trace runs.
    fn totals(&mut self, _: &Totals) {}

    /// Takes what the tracer itself has cost so far, with the totals, if [`Self::wants_tracer`].
    fn tracer(&mut self, _: &TracerSummary) {}

    /// Whether that is to be found out.
    fn wants_tracer(&self) -> bool {
        false
    }

    /// Takes a warning for a person, each once: which names and records are missing.
    fn warning(&mut self, _: &str) {}

    /// Hands on what it has gathered: for a while nothing more may come, or nothing at all.
    fn flush(&mut self) {}

    /// What it still takes.
    fn demand(&self) -> Demand {
        Demand::All
    }

    /// The fault that [`Demand::Failed`] stands for: the first time that it is asked.
    fn take_error(&mut self) -> Option<io::Error> {
        None
    }
}

/// Several consumers, each of which is given everything, in this order.
#[derive(Default)]
pub struct FanOut<'a>(Vec<&'a mut dyn Consumer>);

impl<'a> FanOut<'a> {
    /// Nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more.
    #[must_use]
    pub fn with(mut self, consumer: &'a mut dyn Consumer) -> Self {
        self.0.push(consumer);
        self
    }
}

impl Consumer for FanOut<'_> {
    fn event(&mut self, event: &Event) {
        for it in &mut self.0 {
            it.event(event);
        }
    }

    fn totals(&mut self, totals: &Totals) {
        for it in &mut self.0 {
            it.totals(totals);
        }
    }

    fn tracer(&mut self, tracer: &TracerSummary) {
        for it in &mut self.0 {
            it.tracer(tracer);
        }
    }

    fn wants_tracer(&self) -> bool {
        self.0.iter().any(|it| it.wants_tracer())
    }

    fn warning(&mut self, warning: &str) {
        for it in &mut self.0 {
            it.warning(warning);
        }
    }

    fn flush(&mut self) {
        for it in &mut self.0 {
            it.flush();
        }
    }

    fn demand(&self) -> Demand {
        let all = self.0.iter().map(|it| it.demand());
        all.max().unwrap_or(Demand::All)
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.0.iter_mut().find_map(|it| it.take_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        ids::{Cpu, MonoNanos},
        model::Event,
    };

    /// What it heard, and what it answers.
    struct Heard(Vec<String>, Demand, Option<io::ErrorKind>);

    impl Consumer for Heard {
        fn event(&mut self, event: &Event) {
            self.0.push(format!("{event:?}"));
        }

        fn totals(&mut self, totals: &Totals) {
            self.0.push(format!("{totals:?}"));
        }

        fn tracer(&mut self, tracer: &TracerSummary) {
            self.0.push(format!("{tracer:?}"));
        }

        fn warning(&mut self, warning: &str) {
            self.0.push(warning.to_owned());
        }

        fn flush(&mut self) {
            self.0.push("flush".to_owned());
        }

        fn demand(&self) -> Demand {
            self.1
        }

        fn take_error(&mut self) -> Option<io::Error> {
            self.2.take().map(Into::into)
        }
    }

    #[test]
    fn each_is_given_everything_and_the_least_demand_counts() {
        assert_eq!(FanOut::new().demand(), Demand::All);
        let mut first = Heard(Vec::new(), Demand::Later, None);
        let mut second = Heard(Vec::new(), Demand::All, Some(io::ErrorKind::StorageFull));
        let mut both = FanOut::new().with(&mut first).with(&mut second);
        both.event(&Event::Lost {
            cpu: Cpu(1),
            records: 7,
            at: MonoNanos(3),
        });
        both.totals(&Totals::default());
        both.tracer(&TracerSummary::default());
        both.warning("a file has no names");
        both.flush();
        assert_eq!(both.demand(), Demand::Later);
        let error = both.take_error().map(|error| error.kind());
        assert_eq!(error, Some(io::ErrorKind::StorageFull));
        assert!(both.take_error().is_none());
        assert_eq!(first.0.len(), 5);
        assert_eq!(first.0, second.0);
        let order = [Demand::All, Demand::Later, Demand::Failed, Demand::Closed];
        assert!(order.is_sorted());
    }
}
