//! Places in user space, without ever waiting for them.
//!
//! `UserSymbols` works on a thread of its own. The reader's thread asks a cache; an address that
//! is not in it goes to that thread, and the reader is told by what to know the answer when it is
//! there. An answer holds for a quarter of a second: then the question goes to that thread again, which
//! looks whether the number is still the same process's and that still executes the same program.
//!
//! Senders' stacks go to that thread as soon as they come, before the breach that they led to is put
//! together: the maps of a sender that does not live long are read then or never. They are only
//! unwound then; names, which take longer, are looked up for those that a breach asks for. Each user has its turn in
//! both, and of each user each process (`turns`), and its share of what may wait (`shares`). Whose a process is, that thread
//! finds out, and tells.

mod shares;
mod turns;
mod waiting;

use std::{
    collections::HashMap,
    hash::Hash,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    thread,
    time::{Duration, Instant},
};

use self::{
    shares::Shares,
    turns::{Refused, Turns},
    waiting::Waiting,
};
use super::symbols::{Means, STACKS, UserPlace, UserSymbols};
use crate::{
    cache::{Cache, cache},
    event::{
        ids::{Address, Pid},
        user_stack::{CopiedStack, StackKey},
    },
    host::cpu_list::CpuSet,
    symbolize::{
        Words,
        mappings::Mappings,
        shared::{protocol::Payer, shared_table::SharedTable},
    },
};

/// Questions that may be open, shared among the users and processes that they are about; more are not asked, and asked again
/// when they come up again.
const OPEN: usize = 1024;

/// Stacks that may wait to be unwound, of 4 KiB each, shared among the users and processes that left them; more are dropped
/// and counted.
const OPEN_STACKS: usize = 1024;

/// How long a place holds before it is looked at again.
const GOOD_FOR: Duration = Duration::from_millis(250);

/// How long it may stand in where that look takes its time. A number does not serve again so soon.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// How long nobody asks until the symbolizer, which had to compete for a CPU, does so no more.
const REST: Duration = Duration::from_millis(100);

/// An instruction pointer of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlaceKey {
    /// The process.
    pid: Pid,
    /// Which of the programs that it was seen to execute.
    program: u64,
    /// The instruction pointer.
    ip: Address,
}

/// What is known at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<K, V> {
    /// This.
    Is(V),
    /// Nothing that is new enough: what is known under this key later.
    Later(K),
}

/// To the symbols' thread.
enum Question {
    /// About a process; these are answered in the order in which they are asked about it.
    Of(Pid, About),
    /// Find the callers of this sender, and keep them.
    Unwind(Box<CopiedStack>),
    /// Read what is there before the trace begins, and leave who may run on these CPUs alone from then on.
    Prepare(CpuSet),
    /// Run on the first of these; the others are watched now.
    Moved { tracer: CpuSet, watched: CpuSet },
}

/// What is asked about a process.
#[derive(Debug)]
enum About {
    /// Where does this lie?
    Place(PlaceKey),
    /// How did this sender of it get there?
    Stack(StackKey),
    /// It executes another program now.
    Executed,
}

/// From the symbols' thread.
enum Answer {
    /// This one pays for what is asked about a process.
    Payer(Pid, Payer),
    /// Here.
    Place(PlaceKey, UserPlace),
    /// Thus.
    Stack(StackKey, Words),
    /// What is asked about a process is not looked up: too much of its user's waits.
    Refused(About),
    /// What a person should know.
    Said(String),
    /// All that was there has been read.
    Prepared,
}

/// Questions of one kind.
#[derive(Debug)]
struct Asked<K, V> {
    /// Answers, and when they came.
    known: SharedTable<K, (V, Instant)>,
    /// Questions without an answer yet, and about whom they are.
    open: HashMap<K, Pid>,
    /// How many these may be.
    shares: Shares,
    /// How long an answer holds.
    good_for: Duration,
    /// How long it is better than none.
    kept_for: Duration,
}

impl<K: Copy + Eq + Hash, V: Clone + Default> Asked<K, V> {
    /// Nothing is asked.
    fn new(remembered: usize, good_for: Duration, kept_for: Duration) -> Self {
        Self {
            known: SharedTable::new(remembered),
            open: HashMap::new(),
            shares: Shares::new(OPEN),
            good_for,
            kept_for,
        }
    }

    /// An answer about a process that still holds.
    fn fresh(&mut self, key: K, pid: Pid) -> Option<V> {
        let (answer, at) = self.known.get(&key, self.shares.payer(pid))?;
        (at.elapsed() < self.good_for).then(|| answer.clone())
    }

    /// The last answer; an empty one where there is none, or it is too old.
    fn last(&self, key: K) -> V {
        let known = self.known.peek(&key);
        known
            .filter(|(_, at)| at.elapsed() < self.kept_for)
            .map_or_else(V::default, |(answer, _)| answer.clone())
    }

    /// A question was asked.
    fn ask(&mut self, key: K, pid: Pid) {
        if self.open.insert(key, pid).is_none() {
            self.shares.open(pid);
        }
    }

    fn take(&mut self, key: K, answer: V) {
        if let Some(payer) = self.close(key) {
            self.known.insert(key, (answer, Instant::now()), payer);
        }
    }

    /// A question is open no more. Who pays for it, if it was.
    fn close(&mut self, key: K) -> Option<Payer> {
        let pid = self.open.remove(&key)?;
        let payer = self.shares.payer(pid);
        self.shares.close(pid);
        Some(payer)
    }

    /// Nobody will answer.
    fn give_up(&mut self) {
        self.open.clear();
        self.shares.clear();
    }
}

/// Places in user space, remembered, and found on another thread.
#[derive(Debug)]
pub struct Places {
    /// Places of addresses.
    addresses: Asked<PlaceKey, UserPlace>,
    /// The program that each process executes, where it was seen to begin.
    programs: Cache<Pid, u64>,
    /// Programs that were seen to begin.
    executed: u64,
    /// Stacks in words.
    stacks: Asked<StackKey, Words>,
    /// Stacks that the symbols' thread was given, and whose they are.
    given: SharedTable<StackKey, Pid>,
    /// Those of these that it has not taken yet.
    waiting: Waiting,
    /// To the symbols' thread, which ends when this is dropped.
    questions: Sender<Question>,
    /// From it.
    answers: Receiver<Answer>,
    /// What a person should know and has not been told.
    sentences: Vec<String>,
    /// All that was there has been read.
    prepared: bool,
}

impl Places {
    /// The processes under `root`: so many answers are `remembered`. Starts the symbols' thread, which
    /// runs on the CPUs of its caller, and the symbolizer; waits until that is confined.
    pub(crate) fn start(
        root: &Path,
        remembered: usize,
        means: Means,
        mappings: Option<Mappings>,
    ) -> std::io::Result<Self> {
        let root = root.to_owned();
        let waiting = Waiting::new();
        let taken = waiting.clone();
        let (started, has_started) = channel();
        let places = Self::start_with(remembered, waiting, move |questions, answers| {
            let mut symbols = UserSymbols::start(&root, &means, mappings);
            let _ = started.send(());
            answer(&mut symbols, &taken, questions, answers);
        })?;
        // The thread has its own deadline for that. One that panicked is gone, and so is the sender.
        let _ = has_started.recv();
        Ok(places)
    }

    /// As [`Self::start`], with what runs on the thread.
    fn start_with(
        remembered: usize,
        waiting: Waiting,
        work: impl FnOnce(&Receiver<Question>, &Sender<Answer>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (questions, asked) = channel();
        let (answered, answers) = channel();
        thread::Builder::new()
            .name("symbols".to_owned())
            .spawn(move || work(&asked, &answered))?;
        Ok(Self {
            addresses: Asked::new(remembered, GOOD_FOR, KEPT_FOR),
            programs: cache(2 * remembered),
            executed: 0,
            stacks: Asked::new(STACKS, Duration::MAX, Duration::MAX),
            given: SharedTable::new(STACKS),
            waiting,
            questions,
            answers,
            sentences: Vec::new(),
            prepared: false,
        })
    }

    /// Where `ip` of a process lies, or by what that will be known.
    pub fn place(&mut self, pid: Pid, ip: Address) -> Known<PlaceKey, UserPlace> {
        let program = self.programs.get(&pid).copied().unwrap_or(0);
        let key = PlaceKey { pid, program, ip };
        self.ask(|all| &mut all.addresses, key, pid, About::Place)
    }

    /// The answer to a question of a kind if it is there; else the question is asked.
    fn ask<K: Copy + Eq + Hash, V: Clone + Default>(
        &mut self,
        kind: fn(&mut Self) -> &mut Asked<K, V>,
        key: K,
        pid: Pid,
        question: fn(K) -> About,
    ) -> Known<K, V> {
        let asked = kind(self);
        if let Some(answer) = asked.fresh(key, pid) {
            return Known::Is(answer);
        }
        // A thread that is gone (it panicked) answers nothing: breaches go on without places.
        if !asked.open.contains_key(&key)
            && asked.shares.has_room(pid)
            && self
                .questions
                .send(Question::Of(pid, question(key)))
                .is_ok()
        {
            kind(self).ask(key, pid);
        }
        Known::Later(key)
    }

    /// Whether the answer to one of these is still to come.
    pub fn is_awaited(&mut self, place: Option<PlaceKey>, stacks: &[StackKey]) -> bool {
        self.collect();
        place.is_some_and(|key| self.addresses.open.contains_key(&key))
            || stacks.iter().any(|key| self.stacks.open.contains_key(key))
    }

    /// What is known by now of a place.
    pub fn place_of(&mut self, key: PlaceKey) -> UserPlace {
        self.addresses.last(key)
    }

    /// What is known by now of a stack.
    pub fn stack_of(&mut self, key: StackKey) -> Words {
        self.stacks.last(key)
    }

    /// Has the callers of a sender found.
    pub fn unwind(&mut self, stack: CopiedStack) {
        let (key, pid) = (stack.key, stack.pid);
        if !self.waiting.add(pid) {
            return;
        }
        if self
            .questions
            .send(Question::Unwind(Box::new(stack)))
            .is_ok()
        {
            self.given.insert(key, pid, self.waiting.payer(pid));
        }
    }

    /// Whether the stack of a sender was copied.
    #[must_use]
    pub fn has_stack(&self, key: StackKey) -> bool {
        self.given.peek(&key).is_some()
    }

    /// The stack of a sender in words, or by what that will be known; empty where it left none.
    pub fn stack(&mut self, key: StackKey) -> Known<StackKey, Words> {
        let Some(&pid) = self.given.peek(&key) else {
            return Known::Is(self.stacks.last(key));
        };
        self.given.get(&key, self.waiting.payer(pid));
        self.ask(|all| &mut all.stacks, key, pid, About::Stack)
    }

    /// Stacks that were dropped because too many were waiting.
    #[must_use]
    pub fn dropped_stacks(&self) -> u64 {
        self.waiting.dropped()
    }

    /// A process executes another program now.
    pub fn executed(&mut self, pid: Pid) {
        // Breaches that wait for their names were in the program before.
        self.executed += 1;
        self.programs.put(pid, self.executed);
        let _ = self.questions.send(Question::Of(pid, About::Executed));
    }

    /// Takes what a person should know of names that are missing, each once.
    pub fn take_sentences(&mut self) -> Vec<String> {
        self.collect();
        std::mem::take(&mut self.sentences)
    }

    /// Has the code of every process read, and waits for that: once these CPUs are watched, nobody's is who may run there.
    pub fn prepare(&mut self, watched: CpuSet, at_most: Duration) {
        if self.questions.send(Question::Prepare(watched)).is_err() {
            return;
        }
        let begun = Instant::now();
        while !self.prepared {
            let left = at_most.saturating_sub(begun.elapsed());
            match self.answers.recv_timeout(left) {
                Ok(answer) => self.take(answer),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// The tracer runs on other CPUs now, and others are watched.
    pub fn moved(&self, tracer: CpuSet, watched: CpuSet) {
        let _ = self.questions.send(Question::Moved { tracer, watched });
    }

    /// Takes answers until there is nothing to wait for among these or the time is over.
    pub fn wait(&mut self, place: Option<PlaceKey>, stacks: &[StackKey], at_most: Duration) {
        let begun = Instant::now();
        while self.is_awaited(place, stacks) {
            let left = at_most.saturating_sub(begun.elapsed());
            match self.answers.recv_timeout(left) {
                Ok(answer) => self.take(answer),
                Err(RecvTimeoutError::Timeout) => return,
                // The next look finds that out too.
                Err(RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Takes the answers that are there.
    fn collect(&mut self) {
        loop {
            match self.answers.try_recv() {
                Ok(answer) => self.take(answer),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.addresses.give_up();
                    self.stacks.give_up();
                    return;
                }
            }
        }
    }

    /// Takes an answer.
    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Payer(pid, payer) => {
                self.addresses.shares.belongs(pid, payer);
                self.stacks.shares.belongs(pid, payer);
            }
            Answer::Place(key, place) => self.addresses.take(key, place),
            Answer::Stack(key, words) => self.stacks.take(key, words),
            Answer::Refused(About::Place(key)) => {
                self.addresses.close(key);
            }
            Answer::Refused(About::Stack(key)) => {
                self.stacks.close(key);
            }
            Answer::Refused(About::Executed) => {}
            Answer::Said(sentence) => self.sentences.push(sentence),
            Answer::Prepared => self.prepared = true,
        }
    }
}

/// The symbols' thread: answers until nobody asks any more.
fn answer(
    symbols: &mut UserSymbols,
    waiting: &Waiting,
    questions: &Receiver<Question>,
    answers: &Sender<Answer>,
) {
    let mut work = Work::new(symbols, waiting);
    loop {
        let next = if work.is_empty() {
            match questions.recv_timeout(REST) {
                Err(RecvTimeoutError::Timeout) => {
                    work.symbols.rest();
                    questions.recv().ok()
                }
                question => question.ok(),
            }
        } else {
            None
        };
        if work.is_empty() && next.is_none() {
            return;
        }
        // All that was asked, since what waits has an order of its own.
        for question in next.into_iter().chain(questions.try_iter()) {
            for answer in work.put(question).into_iter().flatten() {
                if answers.send(answer).is_err() {
                    return;
                }
            }
        }
        let answer = work.turn();
        for sentence in work.symbols.take_sentences() {
            let _ = answers.send(Answer::Said(sentence));
        }
        if answer.is_some_and(|answer| answers.send(answer).is_err()) {
            return;
        }
    }
}

/// What the symbols' thread has to do.
///
/// Stacks come first: unwinding one takes microseconds, and what it needs goes with its process. Names can wait, but not
/// for ever: where stacks come without end, names have half of the time.
struct Work<'a> {
    symbols: &'a mut UserSymbols,
    waiting: &'a Waiting,
    stacks: Turns<Box<CopiedStack>>,
    names: Turns<About>,
    /// What stacks have had of the time of names that waited meanwhile, less what these have had since.
    owed: Duration,
}

/// What stacks may have of the time of names before names have theirs.
const AHEAD: Duration = Duration::from_millis(5);

impl<'a> Work<'a> {
    fn new(symbols: &'a mut UserSymbols, waiting: &'a Waiting) -> Self {
        Self {
            symbols,
            waiting,
            stacks: Turns::new(OPEN_STACKS),
            names: Turns::new(OPEN),
            owed: Duration::ZERO,
        }
    }

    fn is_empty(&self) -> bool {
        self.stacks.is_empty() && self.names.is_empty()
    }

    /// Takes what was asked, and does at once what has no turn.
    fn put(&mut self, question: Question) -> [Option<Answer>; 2] {
        match question {
            Question::Unwind(stack) => {
                let pid = stack.pid;
                let (payer, put) = self.stacks.put(pid, stack, || self.symbols.payer(pid));
                if let Some(payer) = payer {
                    self.waiting.lock().belongs(pid, payer);
                }
                if put.is_err() {
                    self.waiting.drop_one(pid);
                }
            }
            Question::Of(pid, about) => {
                let (payer, put) = self.names.put(pid, about, || self.symbols.payer(pid));
                let payer = payer.map(|payer| Answer::Payer(pid, payer));
                // That a process executes another program is noticed without that, as long as it lives.
                let refused = put.err().map(|Refused(about)| Answer::Refused(about));
                return [payer, refused];
            }
            Question::Prepare(watched) => {
                self.symbols.prepare(watched);
                return [Some(Answer::Prepared), None];
            }
            Question::Moved { tracer, watched } => {
                self.symbols.confine(&tracer);
                self.symbols.watch(watched);
            }
        }
        [None, None]
    }

    /// Does what is next.
    fn turn(&mut self) -> Option<Answer> {
        let names_wait = !self.names.is_empty();
        let is_names = names_wait && (self.stacks.is_empty() || self.owed >= AHEAD);
        let begun = Instant::now();
        if is_names {
            let (turn, about) = self.names.take()?;
            let answer = self.answer_about(turn.pid, &about);
            let time = begun.elapsed();
            self.names.spent(turn, time);
            self.owed = self.owed.saturating_sub(time);
            return answer;
        }
        let (turn, stack) = self.stacks.take()?;
        self.unwind(&stack);
        let time = begun.elapsed();
        self.stacks.spent(turn, time);
        self.owed = if names_wait {
            self.owed + time
        } else {
            Duration::ZERO
        };
        None
    }

    fn unwind(&mut self, stack: &CopiedStack) {
        self.waiting.take(stack.pid);
        self.symbols.unwind(stack);
    }

    /// The answer to what is asked about a process, if it is a question.
    fn answer_about(&mut self, pid: Pid, about: &About) -> Option<Answer> {
        match *about {
            About::Place(key) => Some(Answer::Place(key, self.symbols.place(pid, key.ip))),
            About::Stack(key) => {
                // It came before it was asked for, and may still wait.
                if let Some(stack) = self.stacks.take_out(pid, |stack| stack.key == key) {
                    self.unwind(&stack);
                }
                Some(Answer::Stack(key, self.symbols.stack(key)))
            }
            About::Executed => {
                // What waits was left by the program before.
                while let Some(stack) = self.stacks.take_out(pid, |_| true) {
                    self.unwind(&stack);
                }
                self.symbols.executed(pid);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
