//! The tracer's side of the symbolizer: a child process that parses what strangers wrote ([`crate::symbolize::child`]).
//!
//! It is asked one question at a time, on the symbols' thread, and has so much time on a CPU and so much time at all for
//! each. One that ends, hangs or says what cannot be believed is killed, and another one is asked the same. Where that
//! ends too, having read nothing else, the file that the question is about is held to account ([`bars`]). Whatever it may
//! become by what it reads, it can only give wrong words of limited length: the tracer decides which files it gets
//! ([`Broker`]), and parses nothing.

mod bars;
mod costs;
mod process;

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    os::fd::{AsFd as _, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub(super) use self::bars::{FileKey, Use, UsedFile};
use self::{
    bars::{Bars, Fault, Verdict},
    costs::{Costs, Kind},
    process::{EndReason, Process},
};
use super::{limit::Limit, warnings::Warnings};
use crate::{
    host::cpu_list::CpuSet,
    symbolize::shared::{
        maps::Mapping,
        protocol::{
            Answer, Code, CodeOf, DebugName, FileId, Given, Number, Order, Payer, Question, Report,
            Want,
        },
    },
};

pub use self::process::Starter;

/// Mappings that are taken of one process.
const MAPPINGS: usize = 2048;

/// Questions back that one question may have: files, debug files and code of a deep stack.
const WANTS: usize = 512;

/// Times that one question is put again after the symbolizer has ended.
const AGAIN: usize = 4;

/// Symbolizers that may end one after the other with no answer between them and no file to blame.
const FAILURES: u32 = 8;

/// Symbolizers that may be started at once while there is none to spare, and one more in every [`REFILL`]: the kernel may
/// interrupt every CPU for each.
const BURST: u32 = 4;

/// See [`BURST`].
const REFILL: Duration = Duration::from_secs(1);

/// How often it is looked whether one more may be started.
const LOOK: Duration = Duration::from_millis(50);

/// What a symbolizer that ended is put down to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// What it had read for earlier questions, or somebody who killed it, at no file that the tracer knows of.
    Others,
    /// No file that the tracer knows of.
    Nothing,
    /// This file, which a process had mapped. Never one that was found by what is in that: whose it is, the file that
    /// names it does not say.
    File(UsedFile, Fault),
}

/// What was asked of the symbolizer, as far as it may be put down to a file.
#[derive(Debug)]
struct About {
    kind: Kind,
    /// Files that it is about: of a place one, of a stack those whose code was found. They are known here for as long as
    /// the symbolizer knows them, whether others have been forgotten meanwhile or not.
    files: HashMap<FileId, UsedFile>,
    /// Those of them that the address space need not have the next time.
    passing: Vec<FileId>,
    /// The one that it is at.
    at: Option<FileId>,
    /// Time on a CPU that it had taken when it came to that.
    since: Duration,
    /// What it took at each of the others.
    took: HashMap<FileId, Duration>,
}

impl About {
    fn of(question: &Question, process: &mut Process, broker: &dyn Broker) -> Self {
        let (at, kind) = match question {
            Question::Place { file, .. } => (Some(*file), Kind::Place),
            Question::Jit { map, .. } => (Some(*map), Kind::Place),
            Question::Vdso { .. } | Question::Maps => (None, Kind::Place),
            Question::Unwind(_) => (None, Kind::Stack),
        };
        let files = match question {
            Question::Unwind(stack) => process.take_space(stack.space, broker.payer()),
            _ => at
                .and_then(|id| Some((id, broker.used(id)?)))
                .into_iter()
                .collect(),
        };
        Self {
            kind,
            files,
            passing: Vec::new(),
            at,
            since: Duration::ZERO,
            took: HashMap::new(),
        }
    }

    /// A file has code of what it is about. `lasting`: the address space keeps it.
    fn has(&mut self, id: FileId, lasting: bool, broker: &dyn Broker) {
        if let Entry::Vacant(vacant) = self.files.entry(id)
            && let Some(used) = broker.used(id)
        {
            vacant.insert(used);
            if !lasting {
                self.passing.push(id);
            }
        }
    }

    /// The files that the address space keeps.
    fn lasting(&mut self) -> HashMap<FileId, UsedFile> {
        let mut files = std::mem::take(&mut self.files);
        for id in &self.passing {
            files.remove(id);
        }
        files
    }

    /// It leaves the file that it is at, having taken so much time on a CPU until now, for the next one.
    fn move_to(&mut self, next: Option<FileId>, spent: Option<Duration>) {
        let spent = spent.unwrap_or(self.since);
        if let Some(at) = self.at {
            *self.took.entry(at).or_default() += spent.saturating_sub(self.since);
        }
        self.at = next;
        self.since = spent;
    }
}

/// How long the symbolizer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// For one question, on a CPU. Up to twice as much, since it is not counted anew for each.
    pub(super) cpu: Duration,
    /// For one question, waiting for a CPU or a disk included.
    pub(super) wall: Duration,
    /// For one question, where nobody else wants to run. Beyond that it competes for a CPU: a breach waits some 25 ms for
    /// its names, and a share of 3 against 1024 for each other task (`WEIGHT_IDLEPRIO`, `kernel/sched/sched.h`, v6.12)
    /// would not give it a millisecond in that time.
    pub(super) idle: Duration,
    /// To begin.
    pub(super) start: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(10),
            wall: Duration::from_mins(1),
            idle: Duration::from_millis(5),
            start: Duration::from_secs(10),
        }
    }
}

/// Who decides what the symbolizer gets.
pub(super) trait Broker {
    /// Opens a file that the question is about, or that was given before.
    fn file(&mut self, id: FileId) -> Option<File>;
    /// Opens the file with the debug information of another one.
    fn debug(&mut self, of: FileId, name: &DebugName) -> Option<(FileId, File)>;
    /// What lies at an address of the process that the question is about; whether that is so for as long as the
    /// question's address space is spoken of.
    fn code(&mut self, address: u64) -> Option<(Code, bool)>;
    /// A file as it is read for this question.
    fn used(&self, id: FileId) -> Option<UsedFile>;
    /// Who pays for this question.
    fn payer(&self) -> Payer;
}

/// Nothing is given.
pub(super) struct Nothing;

impl Broker for Nothing {
    fn file(&mut self, _: FileId) -> Option<File> {
        None
    }

    fn debug(&mut self, _: FileId, _: &DebugName) -> Option<(FileId, File)> {
        None
    }

    fn code(&mut self, _: u64) -> Option<(Code, bool)> {
        None
    }

    fn used(&self, _: FileId) -> Option<UsedFile> {
        None
    }

    fn payer(&self) -> Payer {
        Payer::Unknown
    }
}

/// Asks the child process, and keeps one running.
#[derive(Debug)]
pub(super) struct Symbolizer {
    /// The number of its process, as probes see it, for others.
    number: Arc<AtomicU32>,
    starter: Starter,
    deadlines: Deadlines,
    process: Option<Process>,
    /// One that has been confined and asked nothing: the first to take its place.
    spare: Option<Process>,
    /// How often one may be started.
    starts: Limit,
    /// It runs where nobody else wants to, unless a question waits for too long.
    idle: bool,
    asked: Number,
    bars: Bars,
    /// What files have cost.
    costs: Costs,
    /// Symbolizers that ended since the last answer, for no file's fault.
    failures: u32,
    /// What a person should know and has not been told.
    warnings: Warnings,
    /// No filter for system calls: said once.
    unfiltered: bool,
}

impl Symbolizer {
    /// Starts one. Where that fails, there is a sentence on it, and no names.
    #[cfg(test)]
    pub(super) fn start(starter: Starter, deadlines: Deadlines) -> Self {
        Self::start_as(starter, deadlines, Arc::default())
    }

    /// Starts one, with a place where its number is kept for others. Where that fails, there is a sentence on it, and
    /// no names.
    pub(super) fn start_as(starter: Starter, deadlines: Deadlines, pid: Arc<AtomicU32>) -> Self {
        let mut symbolizer = Self {
            number: pid,
            starter,
            deadlines,
            process: None,
            spare: None,
            starts: Limit::new(BURST, REFILL, Instant::now()),
            idle: false,
            asked: Number(0),
            bars: Bars::default(),
            costs: Costs::default(),
            failures: 0,
            warnings: Warnings::new("places in more files come without names"),
            unfiltered: false,
        };
        if let Err(ended) = symbolizer.running() {
            symbolizer.failures = FAILURES;
            symbolizer.warnings.once(format!(
                "places in user space come without names: the process that reads programs' files cannot be started ({ended})"
            ));
        }
        symbolizer
    }

    /// Has it run from now on only where nobody else wants to, for as long as that gives answers.
    pub(super) fn be_idle(&mut self) {
        self.idle = true;
        self.rest();
    }

    /// Has it run only where nobody else wants to again, if it had to compete for its last answers.
    pub(super) fn rest(&mut self) {
        if self.idle
            && let Some(process) = &mut self.process
        {
            process.be_idle();
        }
    }

    /// Starts one more for when this one ends, unless there is one. Confining it has the kernel compile its filter for
    /// system calls, and x86 kernels interrupt every CPU for that (`__bpf_arch_ibpb`, seen with 6.18.44): it is done
    /// before a trace begins. Where it fails, one is started when it is needed.
    pub(super) fn keep_spare(&mut self) {
        if self.spare.is_none() && self.failures < FAILURES {
            let started = Process::start(&self.starter, self.deadlines, |_| {});
            self.spare = started.ok().map(|(process, _)| process);
        }
    }

    /// Has it run on these CPUs alone.
    pub(super) fn confine(&self, cpus: &CpuSet) {
        for process in self.process.iter().chain(&self.spare) {
            process.confine(cpus);
        }
    }

    /// Takes what a person should know, each told once.
    pub(super) fn take_sentences(&mut self) -> Vec<String> {
        self.warnings.take()
    }

    /// The number of the child process, while there is one.
    #[cfg(test)]
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Whether a file may be read.
    pub(super) fn allows(&self, used: &UsedFile) -> bool {
        !self.bars.bar(used.of)
    }

    /// Whether there are files that may not be read for a payer.
    pub(super) fn has_bars(&self, payer: Payer) -> bool {
        self.bars.has(payer)
    }

    /// Puts a question, which a descriptor may belong to. `None` where there is no answer to be had.
    pub(super) fn ask(
        &mut self,
        question: &Question,
        descriptor: Option<BorrowedFd<'_>>,
        broker: &mut dyn Broker,
    ) -> Option<Answer> {
        for _ in 0..AGAIN {
            if self.failures >= FAILURES {
                return None;
            }
            match self.put(question.clone(), descriptor, broker) {
                Ok((answer, mut about)) => {
                    self.failures = 0;
                    self.charge(&about);
                    if let (Question::Unwind(stack), Some(process)) = (question, &mut self.process)
                    {
                        process.keep_space(stack.space, broker.payer(), about.lasting());
                    }
                    return Some(answer);
                }
                Err((_, Cause::Others)) => {}
                Err((ended, Cause::Nothing)) => self.fail(&ended),
                Err((ended, Cause::File(used, fault))) => self.blame(&used, &ended, fault),
            }
        }
        None
    }

    /// The code that a file lists which is a `/proc/PID/maps`.
    pub(super) fn maps(&mut self, file: &File) -> Option<Vec<Mapping>> {
        match self.ask(&Question::Maps, Some(file.as_fd()), &mut Nothing)? {
            Answer::Maps(maps) => Some(maps),
            _ => None,
        }
    }

    /// One that runs.
    fn running(&mut self) -> Result<&mut Process, EndReason> {
        if let Some(process) = self.process.take() {
            return Ok(self.process.insert(process));
        }
        // Somebody may have ended it meanwhile.
        let spare = self.spare.take().and_then(Process::if_alive);
        let mut process = match spare {
            Some(spare) => spare,
            None => self.another()?,
        };
        if self.idle {
            process.be_idle();
        }
        self.number.store(process.probe_pid(), Ordering::Relaxed);
        Ok(self.process.insert(process))
    }

    /// Starts another one, as soon as that may be: names wait meanwhile.
    fn another(&mut self) -> Result<Process, EndReason> {
        while !self.starts.allows(Instant::now()) {
            thread::sleep(LOOK);
        }
        // What the kernel does for it as it begins is the tracer's doing, too.
        let publish = |number| self.number.store(number, Ordering::Relaxed);
        let (process, confinement) = Process::start(&self.starter, self.deadlines, publish)?;
        if !confinement.filtered && !self.unfiltered {
            self.unfiltered = true;
            self.warnings.once(
                "this kernel has no seccomp: the process that reads programs' files is held by its limits and \
                 by having no rights, and its system calls are not filtered"
                    .to_owned(),
            );
        }
        Ok(process)
    }

    /// Puts a question once. One that gives no answer is ended.
    fn put(
        &mut self,
        question: Question,
        descriptor: Option<BorrowedFd<'_>>,
        broker: &mut dyn Broker,
    ) -> Result<(Answer, About), (EndReason, Cause)> {
        self.asked.0 += 1;
        let number = self.asked;
        self.running().map_err(|ended| (ended, Cause::Nothing))?;
        let Some(mut process) = self.process.take() else {
            return Err((EndReason::Closed, Cause::Nothing));
        };
        let mut about = About::of(&question, &mut process, broker);
        let order = Order::Ask(number, broker.payer(), question);
        let answer = process
            .tell(&order, descriptor)
            .and_then(|()| self.converse(&mut process, number, broker, &mut about));
        match answer {
            Ok(answer) => {
                about.move_to(None, process.spent());
                process.has_answered = true;
                self.process = Some(process);
                Ok((answer, about))
            }
            Err(ended) => {
                // What it read before may have left it without memory, or made it another program.
                let by_others = process.has_answered;
                let ended = process.end(ended);
                let fault = ended.fault();
                let at = about.at.and_then(|id| about.files.remove(&id));
                let cause = match at {
                    _ if by_others => Cause::Others,
                    Some(used) => Cause::File(used, fault),
                    None if fault == Fault::Outside => Cause::Others,
                    None => Cause::Nothing,
                };
                Err((ended, cause))
            }
        }
    }

    /// Listens until there is an answer, and gives what is asked for meanwhile.
    fn converse(
        &self,
        process: &mut Process,
        number: Number,
        broker: &mut dyn Broker,
        about: &mut About,
    ) -> Result<Answer, EndReason> {
        let mut maps = Vec::new();
        for _ in 0..WANTS {
            match process.listen()? {
                Report::Reading(id) => {
                    // Of a place there is one alone, whatever it says. Any other file that it names is none of this
                    // question's, and nothing is put down to that.
                    if about.files.contains_key(&id) && about.at != Some(id) {
                        about.move_to(Some(id), process.spent());
                    }
                }
                Report::Want(of, want) if of == number => {
                    let (given, file) = self.give(want, broker);
                    if let Given::Code { code, lasting } = &given
                        && let CodeOf::File(id) = code.of
                    {
                        about.has(id, *lasting, broker);
                    }
                    let descriptor = file.as_ref().map(File::as_fd);
                    process.tell(&Order::Give(number, given), descriptor)?;
                }
                Report::Part(of, part) if of == number => {
                    maps.extend(part);
                    if maps.len() > MAPPINGS {
                        return Err(EndReason::Protocol("its list has no end"));
                    }
                }
                Report::Done(of, Answer::Maps(rest)) if of == number => {
                    maps.extend(rest);
                    maps.truncate(MAPPINGS);
                    let overlap = |pair: &[Mapping]| pair[0].end > pair[1].start;
                    if maps.windows(2).any(overlap) {
                        return Err(EndReason::Protocol("its mappings overlap"));
                    }
                    return Ok(Answer::Maps(maps));
                }
                Report::Done(of, answer) if of == number => return Ok(answer),
                Report::Ready(_) | Report::Want(..) | Report::Part(..) | Report::Done(..) => {
                    return Err(EndReason::Protocol("it answers what was not asked"));
                }
            }
        }
        Err(EndReason::Protocol("it asks without end"))
    }

    /// What is given for what is wanted.
    fn give(&self, want: Want, broker: &mut dyn Broker) -> (Given, Option<File>) {
        let allowed = |broker: &dyn Broker, id| {
            let used = broker.used(id);
            used.is_some_and(|used| self.allows(&used))
        };
        let found = match want {
            Want::File(id) if allowed(broker, id) => broker.file(id).map(|file| (id, file)),
            Want::File(_) => None,
            // Whoever asks, the symbolizer keeps what it finds for all: it is given also where this one has it barred.
            // Who pays is the program.
            Want::Debug { of, name } => broker.debug(of, &name),
            Want::Code(address) => {
                let Some((mut code, lasting)) = broker.code(address) else {
                    return (Given::Nothing, None);
                };
                // It may have been read for others, and what unwinds it is used then.
                if let CodeOf::File(id) = code.of
                    && !allowed(broker, id)
                {
                    code.of = CodeOf::Unknown;
                }
                return (Given::Code { code, lasting }, None);
            }
        };
        match found {
            Some((id, file)) => (Given::File(id), Some(file)),
            None => (Given::Nothing, None),
        }
    }

    /// Counts what an answer took for each file that it is about. One that such a file names is not held to account.
    fn charge(&mut self, about: &About) {
        for (file, time) in &about.took {
            let over = about.kind.over(*time);
            if !over.is_zero()
                && let Some(used) = about.files.get(file)
            {
                self.charge_with(used, over);
            }
        }
    }

    /// So much time on a CPU counts for a file. Where that is too much, the symbolizer that has read it is ended: it
    /// keeps what unwinds a file.
    fn charge_with(&mut self, used: &UsedFile, time: Duration) {
        if self.costs.add(used.of, time, Instant::now()) {
            self.bar(used, Fault::Certain, "takes too much CPU time");
            self.process = None;
        }
    }

    /// It ended at a file.
    fn blame(&mut self, used: &UsedFile, ended: &EndReason, fault: Fault) {
        self.bar(used, fault, &format!("ended the symbolizer ({ended})"));
    }

    /// It ended for no file's fault.
    fn fail(&mut self, ended: &EndReason) {
        self.failures += 1;
        if self.failures == FAILURES {
            self.warnings.once(format!(
                "places in user space come without names from here on: the process that reads programs' files ended \
                 {FAILURES} times ({ended})"
            ));
        }
    }

    /// Counts against a file what reading it did, and says what follows.
    fn bar(&mut self, used: &UsedFile, fault: Fault, what: &str) {
        let UsedFile { name, of } = used;
        let whose = match of.payer {
            Payer::ROOT => "in root's processes".to_owned(),
            Payer::User(number) => format!("in processes of user {number}"),
            Payer::Unknown => "in processes that end before their user is known".to_owned(),
        };
        match self.bars.strike(*of, fault) {
            Verdict::Again => {}
            Verdict::File => self.warnings.of_file(&format!("{name} {whose}"), || {
                format!(
                    "places in {name} come without names from here on {whose}: reading it {what}"
                )
            }),
            Verdict::User => {
                let all = format!("every file of user {}", of.file.user);
                self.warnings.of_file(&format!("{all} {whose}"), || {
                    format!(
                        "places in {name} and in {all} come without names from here on {whose}: reading several of them \
                         {what}"
                    )
                });
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
