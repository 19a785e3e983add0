//! Places in user space without waiting for them longer than the reader can afford.
//!
//! [`UserSymbols`] works on a thread of its own. The reader's thread asks a cache;
//! an address that is not in it goes to that thread, and the reader waits for the
//! answer as long as its patience allows: some time while little happens, so that
//! a rare breach has its place, and not at all in a storm, when a few milliseconds
//! are a full ring. In a storm the first breaches of a place come without it, and
//! those after the answer with it.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use super::{
    cache::Cache,
    symbols::{UserPlace, UserSymbols},
};
use crate::event::ids::{Address, Pid};

/// Questions that may be open; more are not asked, and asked again when they come up again.
const OPEN: usize = 1024;

/// An instruction pointer of a process.
type Key = (Pid, Address);

/// To the symbols' thread.
enum Question {
    /// Where does this lie?
    Place(Key),
    /// This process executes another program now.
    Forget(Pid),
}

/// From the symbols' thread.
enum Answer {
    /// Here.
    Place(Key, UserPlace),
    /// The debug information of this file is larger than the budget.
    Heavy(PathBuf),
}

/// Places in user space, remembered, and found on another thread.
#[derive(Debug)]
pub struct Places {
    /// Answers.
    known: Cache<Key, UserPlace>,
    /// Questions without an answer yet.
    open: HashSet<Key>,
    /// To the symbols' thread, which ends when this is dropped.
    questions: Sender<Question>,
    /// From it.
    answers: Receiver<Answer>,
    /// How long new places are waited for, all together.
    patience: Duration,
    /// Files whose source lines were given up.
    heavy: Vec<PathBuf>,
}

impl Places {
    /// The processes under `root`: `remembered` answers in each of two generations,
    /// `budget` bytes for parsed symbols. Starts the symbols' thread, which runs on the CPUs of its caller.
    pub fn start(root: &Path, remembered: usize, budget: u64) -> std::io::Result<Self> {
        let root = root.to_owned();
        Self::start_with(remembered, move |questions, answers| {
            answer(&mut UserSymbols::new(&root, budget), questions, answers);
        })
    }

    /// As [`Self::start`], with what runs on the thread.
    fn start_with(
        remembered: usize,
        work: impl FnOnce(&Receiver<Question>, &Sender<Answer>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (questions, asked) = channel();
        let (answered, answers) = channel();
        thread::Builder::new()
            .name("symbols".to_owned())
            .spawn(move || work(&asked, &answered))?;
        Ok(Self {
            known: Cache::new(remembered),
            open: HashSet::new(),
            questions,
            answers,
            patience: Duration::ZERO,
            heavy: Vec::new(),
        })
    }

    /// How long new places are waited for from now on, all together.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Where `ip` of a process lies; nothing where that is not known (yet).
    pub fn place(&mut self, pid: Pid, ip: Address) -> UserPlace {
        let key = (pid, ip);
        if let Some(place) = self.known.get(&key) {
            return place;
        }
        if !self.open.contains(&key) {
            // A thread that is gone (it panicked) answers nothing: breaches go on without places.
            if self.open.len() >= OPEN || self.questions.send(Question::Place(key)).is_err() {
                self.collect();
                return self.known.get(&key).unwrap_or_default();
            }
            self.open.insert(key);
        }
        self.wait_for(key);
        self.known.get(&key).unwrap_or_default()
    }

    /// Forgets a process: it executes another program now.
    pub fn forget(&mut self, pid: Pid) {
        self.known.retain(|(known, _)| *known != pid);
        let _ = self.questions.send(Question::Forget(pid));
    }

    /// Files whose source lines were given up, because their debug information is too large.
    #[must_use]
    pub fn heavy(&self) -> &[PathBuf] {
        &self.heavy
    }

    /// Takes answers until that to `key` is there or patience ends.
    fn wait_for(&mut self, key: Key) {
        self.collect();
        if self.patience.is_zero() {
            return;
        }
        let begun = Instant::now();
        while self.open.contains(&key) {
            let left = self.patience.saturating_sub(begun.elapsed());
            match self.answers.recv_timeout(left) {
                Ok(answer) => self.take(answer),
                Err(_) => break,
            }
        }
        self.patience = self.patience.saturating_sub(begun.elapsed());
    }

    /// Takes the answers that are there.
    fn collect(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.take(answer);
        }
    }

    /// Takes an answer.
    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Place(key, place) => {
                self.open.remove(&key);
                self.known.insert(key, place);
            }
            Answer::Heavy(path) => self.heavy.push(path),
        }
    }
}

/// The symbols' thread: answers until nobody asks any more.
fn answer(symbols: &mut UserSymbols, questions: &Receiver<Question>, answers: &Sender<Answer>) {
    let mut told = 0;
    for question in questions {
        let (pid, ip) = match question {
            Question::Place(key) => key,
            Question::Forget(pid) => {
                symbols.forget(pid);
                continue;
            }
        };
        let place = symbols.place(pid, ip);
        for path in symbols.heavy().iter().skip(told) {
            let _ = answers.send(Answer::Heavy(path.clone()));
        }
        told = symbols.heavy().len();
        if answers.send(Answer::Place((pid, ip), place)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// Answers every address with its number, `first` waiting for a word before.
    fn numbering(go: Receiver<()>) -> Places {
        Places::start_with(16, move |questions, answers| {
            for question in questions {
                if let Question::Place(key) = question {
                    if go.recv().is_err() {
                        return;
                    }
                    let place = UserPlace {
                        location: Some(format!("at {}", key.1).into()),
                        source: None,
                    };
                    let _ = answers.send(Answer::Place(key, place));
                }
            }
        })
        .expect("a thread")
    }

    fn location(place: &UserPlace) -> Option<&str> {
        place.location.as_deref()
    }

    #[test]
    fn with_patience_the_first_breach_has_its_place() {
        let (go, wait) = channel();
        let mut places = numbering(wait);
        places.set_patience(LONG);
        go.send(()).expect("a listener");
        assert_eq!(
            location(&places.place(Pid(1), Address(16))),
            Some("at 0x10")
        );
    }

    #[test]
    fn without_patience_nothing_is_waited_for_and_later_breaches_have_it() {
        let (go, wait) = channel();
        let mut places = numbering(wait);
        for _ in 0..100 {
            assert_eq!(places.place(Pid(1), Address(16)), UserPlace::default());
        }
        assert_eq!(places.open.len(), 1, "asked once");
        go.send(()).expect("a listener");
        places.set_patience(LONG);
        assert_eq!(
            location(&places.place(Pid(1), Address(16))),
            Some("at 0x10")
        );
        places.set_patience(Duration::ZERO);
        assert_eq!(
            location(&places.place(Pid(1), Address(16))),
            Some("at 0x10")
        );
    }

    #[test]
    fn patience_is_for_all_places_together() {
        let (_go, wait) = channel();
        let mut places = numbering(wait);
        places.set_patience(Duration::from_millis(5));
        for ip in 0..3 {
            places.place(Pid(1), Address(ip));
            assert!(places.patience.is_zero(), "used up by the first");
        }
    }

    #[test]
    fn open_questions_are_bounded() {
        let (_go, wait) = channel();
        let mut places = numbering(wait);
        for ip in 0..10_000 {
            places.place(Pid(1), Address(ip));
        }
        assert_eq!(places.open.len(), OPEN);
    }

    #[test]
    fn a_thread_that_is_gone_costs_places_and_nothing_else() {
        let (go, wait) = channel();
        let mut places = numbering(wait);
        drop(go);
        places.set_patience(LONG);
        assert_eq!(places.place(Pid(1), Address(16)), UserPlace::default());
        assert_eq!(places.place(Pid(1), Address(17)), UserPlace::default());
    }

    #[test]
    fn a_process_that_executes_is_asked_for_again() {
        let (go, wait) = channel();
        let mut places = numbering(wait);
        places.set_patience(LONG);
        go.send(()).expect("a listener");
        places.place(Pid(1), Address(16));
        places.forget(Pid(1));
        places.set_patience(Duration::ZERO);
        assert_eq!(places.place(Pid(1), Address(16)), UserPlace::default());
    }

    /// The real thing, on this process.
    #[test]
    fn this_process_has_places() {
        let mut places = Places::start(Path::new("/"), 16, 64 << 20).expect("a thread");
        places.set_patience(LONG);
        let here = this_process_has_places as *const () as u64;
        let place = places.place(Pid(std::process::id()), Address(here));
        let name = location(&place)
            .expect("this binary has symbols")
            .to_owned();
        assert!(name.contains("this_process_has_places"), "{name}");
    }
}
