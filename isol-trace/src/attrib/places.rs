//! Places in user space without waiting for them longer than the reader can afford.
//!
//! [`UserSymbols`] works on a thread of its own. The reader's thread asks a cache;
//! an address that is not in it goes to that thread, and the reader waits for the
//! answer as long as its patience allows: some time while little happens, so that
//! a rare breach has its place, and not at all in a storm, when a few milliseconds
//! are a full ring. In a storm the first breaches of a place come without it, and
//! those after the answer with it.
//!
//! Senders' stacks go to that thread as soon as they come, before the breach that they led to is put
//! together: the maps of a sender that does not live long are read then or never. They are only
//! unwound then; names, which take longer, are looked up for those that a breach asks for.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    cache::Cache,
    symbols::{UserPlace, UserSymbols, Words},
};
use crate::event::{
    ids::{Address, Pid},
    user_stack::{CopiedStack, StackKey},
};

/// Questions that may be open; more are not asked, and asked again when they come up again.
const OPEN: usize = 1024;

/// Stacks that may wait to be unwound, of 4 KiB each; more are dropped and counted.
const OPEN_STACKS: usize = 1024;

/// Stacks that are remembered, in each of two generations: until the breach that they led to
/// comes, or, for who armed a timer, for as long as it is asked for.
pub(super) const STACKS: usize = 4096;

/// An instruction pointer of a process.
type Key = (Pid, Address);

/// To the symbols' thread.
enum Question {
    /// Where does this lie?
    Place(Key),
    /// Find the callers of this sender, and keep them.
    Unwind(Box<CopiedStack>),
    /// How did this sender get there?
    Stack(StackKey),
    /// This process executes another program now.
    Executed(Pid),
}

/// From the symbols' thread.
enum Answer {
    /// Here.
    Place(Key, UserPlace),
    /// Thus.
    Stack(StackKey, Words),
    /// The debug information of this file is larger than the budget.
    Heavy(PathBuf),
}

/// Questions of one kind.
#[derive(Debug)]
struct Asked<K, V> {
    /// Answers.
    known: Cache<K, V>,
    /// Questions without an answer yet.
    open: HashSet<K>,
}

impl<K: Copy + Eq + Hash, V: Clone> Asked<K, V> {
    /// Nothing is asked; `remembered` answers in each of two generations.
    fn new(remembered: usize) -> Self {
        Self {
            known: Cache::new(remembered),
            open: HashSet::new(),
        }
    }

    fn take(&mut self, key: K, answer: V) {
        self.open.remove(&key);
        self.known.insert(key, answer);
    }
}

/// Places in user space, remembered, and found on another thread.
#[derive(Debug)]
pub struct Places {
    /// Places of addresses.
    addresses: Asked<Key, UserPlace>,
    /// Stacks in words.
    stacks: Asked<StackKey, Words>,
    /// Stacks that the symbols' thread was given.
    given: Cache<StackKey, ()>,
    /// How many of these it has not taken yet.
    waiting: Arc<AtomicUsize>,
    /// Stacks that were dropped.
    dropped_stacks: u64,
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
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = waiting.clone();
        Self::start_with(remembered, waiting, move |questions, answers| {
            let mut symbols = UserSymbols::new(&root, budget);
            answer(&mut symbols, &taken, questions, answers);
        })
    }

    /// As [`Self::start`], with what runs on the thread.
    fn start_with(
        remembered: usize,
        waiting: Arc<AtomicUsize>,
        work: impl FnOnce(&Receiver<Question>, &Sender<Answer>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (questions, asked) = channel();
        let (answered, answers) = channel();
        thread::Builder::new()
            .name("symbols".to_owned())
            .spawn(move || work(&asked, &answered))?;
        Ok(Self {
            addresses: Asked::new(remembered),
            stacks: Asked::new(STACKS),
            given: Cache::new(STACKS),
            waiting,
            dropped_stacks: 0,
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
        self.ask(|all| &mut all.addresses, key, || Question::Place(key))
    }

    /// The answer to a question of a kind, as far as it is there or patience allows.
    fn ask<K: Copy + Eq + Hash, V: Clone + Default>(
        &mut self,
        kind: fn(&mut Self) -> &mut Asked<K, V>,
        key: K,
        question: impl FnOnce() -> Question,
    ) -> V {
        let asked = kind(self);
        if let Some(answer) = asked.known.get(&key) {
            return answer;
        }
        if !asked.open.contains(&key) {
            // A thread that is gone (it panicked) answers nothing: breaches go on without places.
            if asked.open.len() >= OPEN || self.questions.send(question()).is_err() {
                self.collect();
                return kind(self).known.get(&key).unwrap_or_default();
            }
            kind(self).open.insert(key);
        }
        self.wait_while(|all| kind(all).open.contains(&key));
        kind(self).known.get(&key).unwrap_or_default()
    }

    /// Has the callers of a sender found.
    pub fn unwind(&mut self, stack: CopiedStack) {
        let key = stack.key;
        // Only this thread adds to it; one that is taken meanwhile makes it smaller.
        if self.waiting.load(Ordering::Relaxed) >= OPEN_STACKS {
            self.dropped_stacks += 1;
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self
            .questions
            .send(Question::Unwind(Box::new(stack)))
            .is_ok()
        {
            self.given.insert(key, ());
        }
    }

    /// The stack of a sender in words; empty where it left none, or is not known (yet).
    pub fn stack(&mut self, key: StackKey) -> Words {
        if self.stacks.known.get(&key).is_none() && self.given.get(&key).is_none() {
            return Words::default();
        }
        self.ask(|all| &mut all.stacks, key, || Question::Stack(key))
    }

    /// Stacks that were dropped because too many were waiting.
    #[must_use]
    pub const fn dropped_stacks(&self) -> u64 {
        self.dropped_stacks
    }

    /// A process executes another program now.
    pub fn executed(&mut self, pid: Pid) {
        self.addresses.known.retain(|(known, _)| *known != pid);
        let _ = self.questions.send(Question::Executed(pid));
    }

    /// Files whose source lines were given up, because their debug information is too large.
    #[must_use]
    pub fn heavy(&self) -> &[PathBuf] {
        &self.heavy
    }

    /// Takes answers until the one that is waited for is there or patience ends.
    fn wait_while(&mut self, waiting: impl Fn(&mut Self) -> bool) {
        self.collect();
        if self.patience.is_zero() {
            return;
        }
        let begun = Instant::now();
        while waiting(self) {
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
            Answer::Place(key, place) => self.addresses.take(key, place),
            Answer::Stack(key, words) => self.stacks.take(key, words),
            Answer::Heavy(path) => self.heavy.push(path),
        }
    }
}

/// The symbols' thread: answers until nobody asks any more. Stacks have precedence: unwinding one
/// takes microseconds, and what it needs goes with its process; names can wait.
fn answer(
    symbols: &mut UserSymbols,
    waiting: &AtomicUsize,
    questions: &Receiver<Question>,
    answers: &Sender<Answer>,
) {
    let mut told = 0;
    let mut later = VecDeque::new();
    loop {
        let next = if later.is_empty() {
            let Ok(question) = questions.recv() else {
                return;
            };
            Some(question)
        } else {
            questions.try_recv().ok()
        };
        let question = match next {
            Some(Question::Unwind(stack)) => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                symbols.unwind(&stack);
                continue;
            }
            Some(question) => {
                later.push_back(question);
                continue;
            }
            None => later.pop_front(),
        };
        let answer = match question {
            Some(Question::Place((pid, ip))) => Answer::Place((pid, ip), symbols.place(pid, ip)),
            Some(Question::Stack(key)) => Answer::Stack(key, symbols.stack(key)),
            Some(Question::Executed(pid)) => {
                symbols.executed(pid);
                continue;
            }
            Some(Question::Unwind(_)) | None => continue,
        };
        for path in symbols.heavy().iter().skip(told) {
            let _ = answers.send(Answer::Heavy(path.clone()));
        }
        told = symbols.heavy().len();
        if answers.send(answer).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
