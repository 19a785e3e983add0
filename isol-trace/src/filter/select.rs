//! A consumer in front of others: it hands on the breaches that a filter takes, and all other events.

use std::{
    collections::{HashMap, VecDeque},
    io,
};

use isol_trace_common::record::End;

use super::{Filter, Subject};
use crate::{
    clock::Anchor,
    consume::{Consumer, Demand},
    event::{
        ids::{Nanos, Seq},
        model::{Breach, Event, Totals, TracerSummary},
    },
};

/// Events that wait until it is known how long a task was away. Where there are more, the first goes on as one of whom
/// that is not known.
const WAITING: usize = 65_536;

/// Hands on the breaches that a filter takes.
pub struct Select<'a> {
    filter: Filter,
    inner: &'a mut dyn Consumer,
    anchor: Option<Anchor>,
    /// Events behind one whose task is still away, in their order. Empty unless the filter asks for that.
    waiting: VecDeque<Event>,
    /// How long the tasks were away of breaches that wait and ended as `switched`; `None` while they still are.
    away: HashMap<Seq, Option<Nanos>>,
}

impl<'a> Select<'a> {
    /// In front of a consumer.
    pub fn new(filter: Filter, inner: &'a mut dyn Consumer) -> Self {
        Self {
            filter,
            inner,
            anchor: None,
            waiting: VecDeque::new(),
            away: HashMap::new(),
        }
    }

    /// Whether more has to be known of an event before it goes on.
    fn waits(&self, event: &Event) -> bool {
        matches!(event, Event::Breach(breach) if self.away.get(&breach.seq) == Some(&None))
    }

    fn hand_on(&mut self, event: &Event) {
        if let Event::Breach(breach) = event
            && !self.takes(breach)
        {
            return;
        }
        self.inner.event(event);
    }

    fn takes(&mut self, breach: &Breach) -> bool {
        let subject = Subject {
            breach,
            away: self.away.remove(&breach.seq).flatten(),
            wall: self.anchor.map(|anchor| anchor.wall(breach.at)),
            is_new: None,
        };
        self.filter.takes(&subject)
    }

    /// Hands on what waits, up to an event of which more has to be known, as long as there is no more than room for.
    fn hand_on_waiting(&mut self, room: usize) {
        while let Some(first) = self.waiting.front() {
            if self.waiting.len() <= room && self.waits(first) {
                return;
            }
            if let Some(event) = self.waiting.pop_front() {
                self.hand_on(&event);
            }
        }
    }
}

impl Consumer for Select<'_> {
    fn event(&mut self, event: &Event) {
        if let Event::Header(header) = event {
            self.anchor = Some(header.anchor);
        }
        if !self.filter.asks_away() {
            return self.hand_on(event);
        }
        match event {
            Event::Breach(breach) if breach.end == End::Switched => {
                self.away.insert(breach.seq, None);
            }
            Event::Back {
                breach: Some(breach),
                away,
                ..
            } => {
                if let Some(known) = self.away.get_mut(breach) {
                    *known = Some(*away);
                }
            }
            _ => {}
        }
        self.waiting.push_back(event.clone());
        let room = match event {
            // Nothing follows that could tell more.
            Event::Summary(_) => 0,
            _ => WAITING,
        };
        self.hand_on_waiting(room);
    }

    fn totals(&mut self, totals: &Totals) {
        self.inner.totals(totals);
    }

    fn tracer(&mut self, tracer: &TracerSummary) {
        self.inner.tracer(tracer);
    }

    fn wants_tracer(&self) -> bool {
        self.inner.wants_tracer()
    }

    fn warning(&mut self, warning: &str) {
        self.inner.warning(warning);
    }

    fn flush(&mut self) {
        self.hand_on_waiting(0);
        self.inner.flush();
    }

    fn demand(&self) -> Demand {
        self.inner.demand()
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.inner.take_error()
    }
}
