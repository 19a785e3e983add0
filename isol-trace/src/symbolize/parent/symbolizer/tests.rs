//! The real thing: a process of its own that is taken down by what it reads.

use std::{
    cell::Cell,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::*;
use crate::{
    bpf::numbers::Numbers,
    symbolize::{
        parent::{
            files::{self, Files, Reader},
            symbols::Means,
        },
        shared::protocol::{CodeOf, Stack},
    },
};

/// This test binary as a symbolizer.
pub(in crate::symbolize) fn means() -> Means {
    let words = [
        "--exact",
        "symbolize::child::tests::is_the_symbolizer",
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ];
    Means {
        number: Arc::default(),
        starter: Starter {
            program: "/proc/self/exe".into(),
            words: words.map(str::to_owned).into(),
            memory: 512 << 20,
            numbers: Numbers::default(),
        },
        deadlines: Deadlines::default(),
        debug_dirs: Vec::new(),
    }
}

fn start() -> Symbolizer {
    let mut symbolizer = Symbolizer::start(means().starter, Deadlines::default());
    assert_eq!(symbolizer.take_sentences(), Vec::<String>::new());
    symbolizer
}

/// Files that are given as they are asked for.
struct Folder {
    files: Files,
    root: Arc<File>,
    /// Who has them mapped.
    payer: Payer,
    at: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            files: Files::new(Vec::new()),
            root: Arc::new(File::open(folder.path()).expect("it is there")),
            payer: Payer::ROOT,
            at: folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }

    fn id(&mut self, name: &str) -> FileId {
        let place = files::Place::Below(self.root.clone(), name.into());
        let reader = Reader {
            payer: self.payer,
            has_bars: false,
        };
        let found = self
            .files
            .find(place, &self.root, Path::new(name), None, reader);
        found.expect("it is there")
    }

    /// A copy of this test, which has names.
    fn honest(&mut self) -> FileId {
        fs::copy("/proc/self/exe", self.path("honest")).expect("a copy");
        self.id("honest")
    }
}

impl Broker for Folder {
    fn file(&mut self, id: FileId) -> Option<File> {
        self.files.open(id)
    }

    fn debug(&mut self, of: FileId, name: &DebugName) -> Option<(FileId, File)> {
        let id = self.files.debug(of, name, self.payer)?;
        Some((id, self.files.open(id)?))
    }

    fn code(&mut self, _: u64) -> Option<(Code, bool)> {
        None
    }

    fn used(&self, id: FileId) -> Option<UsedFile> {
        self.files.used(id, self.payer)
    }

    fn payer(&self) -> Payer {
        self.payer
    }
}

/// A place in this test, by its offset in the file.
fn own_offset() -> u64 {
    let text = fs::read("/proc/self/maps").expect("our own maps");
    let maps = crate::symbolize::shared::maps::UserMaps::parse(&text);
    let address = crate::event::ids::Address(own_offset as *const () as u64);
    maps.find(address)
        .expect("we run there")
        .file_offset(address)
}

fn place(symbolizer: &mut Symbolizer, folder: &mut Folder, file: FileId) -> Option<String> {
    let question = Question::Place {
        file,
        offset: own_offset(),
        beyond: 0,
    };
    match symbolizer.ask(&question, None, folder)? {
        Answer::Place(place) => place.location,
        _ => None,
    }
}

fn is_named(symbolizer: &mut Symbolizer, folder: &mut Folder, file: FileId) -> bool {
    place(symbolizer, folder, file).is_some_and(|name| name.contains("own_offset"))
}

#[test]
fn a_file_has_names() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    assert!(is_named(&mut symbolizer, &mut folder, honest));
    let pid = symbolizer.pid();
    assert!(is_named(&mut symbolizer, &mut folder, honest));
    assert_eq!(symbolizer.pid(), pid);
    let text = folder.path("text");
    fs::write(text, "no ELF file").expect("a file");
    let text = folder.id("text");
    assert_eq!(place(&mut symbolizer, &mut folder, text), None);
    assert_eq!(symbolizer.pid(), pid, "that is no reason to end");
}

#[test]
fn maps_are_read() {
    let mut symbolizer = start();
    let maps = File::open("/proc/self/maps").expect("our own maps");
    let code = symbolizer.maps(&maps).expect("they are read");
    let text = fs::read("/proc/self/maps").expect("our own maps");
    assert_eq!(
        code,
        crate::symbolize::shared::maps::UserMaps::parse(&text).into_code()
    );
}

/// Somebody kills it, again and again.
#[test]
fn another_one_is_started_and_names_go_on() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    for _ in 0..3 {
        let pid = symbolizer.pid().expect("it runs");
        assert!(is_named(&mut symbolizer, &mut folder, honest));
        kill(pid, libc::SIGKILL);
    }
    assert!(is_named(&mut symbolizer, &mut folder, honest));
    assert_eq!(symbolizer.take_sentences(), Vec::<String>::new());
}

/// Starting one may have the kernel interrupt every CPU, watched ones too.
#[test]
fn one_is_kept_to_spare_and_others_are_not_started_at_once() {
    let begun = Instant::now();
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    symbolizer.keep_spare();
    symbolizer.be_idle();
    let spare = symbolizer.spare.as_ref().map(Process::pid);
    let first = symbolizer.pid().expect("it runs");
    assert!(spare.is_some() && spare != Some(first));
    kill(first, libc::SIGKILL);
    assert!(is_named(&mut symbolizer, &mut folder, honest));
    assert_eq!(symbolizer.pid(), spare, "none was started");
    let process = symbolizer.process.as_ref().expect("it answered");
    let number = symbolizer.number.load(Ordering::Relaxed);
    assert_eq!(number, process.probe_pid());
    // That one goes as well, and the next to spare before it is needed.
    symbolizer.keep_spare();
    let next = symbolizer.spare.as_ref().map(Process::pid);
    kill(next.expect("it waits"), libc::SIGKILL);
    let mut seen = vec![spare, next];
    for _ in 0..=BURST {
        let pid = symbolizer.pid().expect("it runs");
        kill(pid, libc::SIGKILL);
        assert!(is_named(&mut symbolizer, &mut folder, honest));
        assert!(!seen.contains(&symbolizer.pid()), "another one");
        seen.push(symbolizer.pid());
    }
    // With the first one these are two more than may be started at once.
    assert!(begun.elapsed() >= 2 * REFILL, "{:?}", begun.elapsed());
    assert_eq!(symbolizer.take_sentences(), Vec::<String>::new());
}

fn kill(pid: u32, signal: i32) {
    // SAFETY: no memory is involved; the process is a child of ours that nobody has waited for.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// A broker that does something to the symbolizer while it reads one file.
struct Meanwhile<'a> {
    folder: &'a mut Folder,
    bad: FileId,
    act: &'a dyn Fn(),
}

impl Broker for Meanwhile<'_> {
    fn file(&mut self, id: FileId) -> Option<File> {
        if id == self.bad {
            (self.act)();
        }
        self.folder.file(id)
    }

    fn debug(&mut self, of: FileId, name: &DebugName) -> Option<(FileId, File)> {
        self.folder.debug(of, name)
    }

    fn code(&mut self, address: u64) -> Option<(Code, bool)> {
        self.folder.code(address)
    }

    fn used(&self, id: FileId) -> Option<UsedFile> {
        self.folder.used(id)
    }

    fn payer(&self) -> Payer {
        self.folder.payer
    }
}

/// Asks for a place in a file at which the symbolizer stops for good.
fn stop_at(symbolizer: &mut Symbolizer, folder: &mut Folder, bad: FileId) -> Option<Answer> {
    let question = Question::Place {
        file: bad,
        offset: own_offset(),
        beyond: 0,
    };
    let pid = symbolizer.pid().expect("it runs");
    let mut broker = Meanwhile {
        folder,
        bad,
        act: &|| kill(pid, libc::SIGSTOP),
    };
    symbolizer.ask(&question, None, &mut broker)
}

#[test]
fn one_that_hangs_is_ended_and_its_file_barred() {
    let mut symbolizer = start();
    symbolizer.deadlines.wall = Duration::from_millis(500);
    let mut folder = Folder::new();
    let honest = folder.honest();
    fs::copy("/proc/self/exe", folder.path("bad")).expect("a copy");
    let bad = folder.id("bad");
    assert!(
        is_named(&mut symbolizer, &mut folder, bad),
        "it is no bad file yet"
    );
    symbolizer.process = None;
    symbolizer.running().expect("another one");
    assert_eq!(
        stop_at(&mut symbolizer, &mut folder, bad),
        Some(Answer::Nothing)
    );
    symbolizer.deadlines.wall = Duration::from_mins(1);
    symbolizer.process = None;
    let said = symbolizer.take_sentences();
    let expected = "places in bad come without names from here on in root's processes: reading it ended the symbolizer (no answer in time)";
    assert_eq!(said, [expected]);
    assert_eq!(place(&mut symbolizer, &mut folder, bad), None, "barred");
    assert!(
        is_named(&mut symbolizer, &mut folder, honest),
        "others go on"
    );
    assert_eq!(
        symbolizer.take_sentences(),
        Vec::<String>::new(),
        "said once"
    );
}

/// How the kernel schedules a process (`proc_pid_stat(5)` numbers from 1, and two fields come before).
fn policy(pid: u32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(41 - 3)?.parse().ok()
}

/// One that never runs while others do, as at idle priority on a host without idle time: here since it is stopped.
#[test]
fn one_that_has_no_cpu_competes_for_it_until_nobody_asks() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    let pid = symbolizer.pid().expect("it runs");
    symbolizer.be_idle();
    assert_eq!(policy(pid), Some(libc::SCHED_IDLE));
    if !rustix::process::geteuid().is_root() {
        return;
    }
    kill(pid, libc::SIGSTOP);
    let resumer = thread::spawn(move || {
        // It is ended where that never comes.
        while policy(pid) == Some(libc::SCHED_IDLE) {
            thread::yield_now();
        }
        let seen = policy(pid);
        kill(pid, libc::SIGCONT);
        seen
    });
    symbolizer.deadlines.wall = Duration::from_secs(20);
    assert!(is_named(&mut symbolizer, &mut folder, honest));
    let seen = resumer.join().expect("it saw something");
    assert_eq!(seen, Some(libc::SCHED_OTHER));
    symbolizer.rest();
    assert_eq!(policy(pid), Some(libc::SCHED_IDLE));
    assert_eq!(symbolizer.pid(), Some(pid), "the same one still");
}

/// A stack of a program whose code is mapped at 0x1000.
fn stack_at_1000(space: u64) -> Question {
    Question::Unwind(Stack {
        space,
        ip: 0x1000,
        sp: 0x7000,
        bp: 0,
        base: 0x7000,
        bytes: vec![0; 64],
    })
}

/// A file that is mapped there.
struct Mapped<'a>(&'a mut Folder, FileId);

impl Broker for Mapped<'_> {
    fn file(&mut self, id: FileId) -> Option<File> {
        self.0.file(id)
    }

    fn debug(&mut self, of: FileId, name: &DebugName) -> Option<(FileId, File)> {
        self.0.debug(of, name)
    }

    fn code(&mut self, _: u64) -> Option<(Code, bool)> {
        let code = Code {
            start: 0x1000,
            end: 0x2000,
            offset: 0x1000,
            of: CodeOf::File(self.1),
        };
        Some((code, true))
    }

    fn used(&self, id: FileId) -> Option<UsedFile> {
        self.0.used(id)
    }

    fn payer(&self) -> Payer {
        self.0.payer
    }
}

/// A program whose frames are described by an expression that never ends.
fn endless(expression: &[u8]) -> Vec<u8> {
    described(&[(0x1000, 0x1000, expression)])
}

/// A program whose frames are described by expressions: of code from an address on, of so many bytes.
fn described(frames: &[(u64, u64, &[u8])]) -> Vec<u8> {
    // A description that others refer to: it returns to what lies at CFA - 8.
    let common = [&[1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1][..], &[0; 6]].concat();
    let mut tables = Vec::new();
    let length = |bytes: &[u8]| u32::try_from(bytes.len() + 4).expect("short").to_le_bytes();
    tables.extend(length(&common));
    tables.extend(0_u32.to_le_bytes());
    tables.extend(&common);
    for (start, bytes, expression) in frames {
        let mut code = Vec::new();
        code.extend(start.to_le_bytes());
        code.extend(bytes.to_le_bytes());
        // `DW_CFA_def_cfa_expression`.
        code.extend([0x0f, u8::try_from(expression.len()).expect("short")]);
        code.extend(*expression);
        code.resize(code.len().next_multiple_of(8), 0);
        let back = u32::try_from(tables.len() + 4).expect("short");
        tables.extend(length(&code));
        tables.extend(back.to_le_bytes());
        tables.extend(&code);
    }
    tables.extend(0_u32.to_le_bytes());
    let names = b"\0.eh_frame\0.text\0.shstrtab\0";
    let mut file = vec![0; 0x3000];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(0x10, &[3, 0, 62, 0, 1]);
    for (at, value) in [(0x20, 0x40_u64), (0x28, 0x2800)] {
        put(at, &value.to_le_bytes());
    }
    for (at, value) in [
        (0x34, 64_u16),
        (0x36, 56),
        (0x38, 1),
        (0x3a, 64),
        (0x3c, 4),
        (0x3e, 3),
    ] {
        put(at, &value.to_le_bytes());
    }
    // All of it is loaded where it lies.
    put(0x40, &[1, 0, 0, 0, 5]);
    for (at, value) in [(0x60, 0x3000_u64), (0x68, 0x3000), (0x70, 0x1000)] {
        put(at, &value.to_le_bytes());
    }
    put(0x2000, &tables);
    put(0x2400, names);
    let sections = [
        (1_u32, 1_u32, 0x2000_u64, tables.len()),
        (11, 1, 0x1000, 0x1000),
        (17, 3, 0x2400, names.len()),
    ];
    for (number, (name, kind, at, size)) in sections.into_iter().enumerate() {
        let header = 0x2800 + 64 * (number + 1);
        put(header, &name.to_le_bytes());
        put(header + 4, &kind.to_le_bytes());
        for (field, value) in [(8, 2), (16, at), (24, at), (32, size as u64)] {
            put(header + field, &value.to_le_bytes());
        }
    }
    file
}

/// Tables for unwinding that take all memory, or all time, of who follows them.
#[test]
fn endless_tables_end_the_symbolizer_and_their_file_is_barred() {
    let mut folder = Folder::new();
    for (name, expression, cpu, reason) in [
        // Push 0 and begin anew; begin anew.
        (
            "pushes",
            &[0x30, 0x2f, 0xfc, 0xff][..],
            Duration::from_mins(1),
            "memory limit of 128 MiB",
        ),
        (
            "loops",
            &[0x2f, 0xfd, 0xff],
            Duration::from_secs(1),
            "limit of CPU time",
        ),
    ] {
        let mut means = means();
        means.deadlines.cpu = cpu;
        means.starter.memory = 128 << 20;
        let mut symbolizer = Symbolizer::start(means.starter, means.deadlines);
        fs::write(folder.path(name), endless(expression)).expect("a file");
        let id = folder.id(name);
        let mut broker = Mapped(&mut folder, id);
        let answer = symbolizer.ask(&stack_at_1000(1), None, &mut broker);
        // Without the file there are no callers.
        assert_eq!(
            answer,
            Some(Answer::Frames(vec![(0x1000, false)])),
            "{name}"
        );
        let said = symbolizer.take_sentences();
        assert!(
            said.len() == 1 && said[0].contains(reason),
            "{name}: {said:?}"
        );
        let honest = folder.honest();
        assert!(
            is_named(&mut symbolizer, &mut folder, honest),
            "others go on"
        );
    }
}

/// What returns to the address that lies at the stack pointer: `DW_OP_breg7 8`.
const RETURNS: &[u8] = &[0x77, 8];

/// Two programs of one process: `bad` at 0x1000, whose frames are described by `expression` from 0x1800 on, and `good` at
/// 0x11000.
struct Pair<'a> {
    folder: &'a mut Folder,
    bad: FileId,
    good: FileId,
    /// How often it was asked for code.
    asked: u32,
}

impl<'a> Pair<'a> {
    fn new(folder: &'a mut Folder, expression: &[u8]) -> Self {
        let bad = described(&[(0x1000, 0x800, RETURNS), (0x1800, 0x800, expression)]);
        fs::write(folder.path("bad"), bad).expect("a file");
        fs::write(folder.path("good"), endless(RETURNS)).expect("a file");
        let (bad, good) = (folder.id("bad"), folder.id("good"));
        Self {
            folder,
            bad,
            good,
            asked: 0,
        }
    }

    /// A stack that is in `bad`, was called by `good`, and that by the other part of `bad`.
    fn stack() -> Question {
        let mut bytes = Vec::new();
        for word in [0x11_010_u64, 0x1810, 0, 0] {
            bytes.extend(word.to_le_bytes());
        }
        Question::Unwind(Stack {
            space: 1,
            ip: 0x1000,
            sp: 0x7000,
            bp: 0,
            base: 0x7000,
            bytes,
        })
    }

    /// Its frames, where all of them are found.
    fn frames() -> Answer {
        Answer::Frames(vec![(0x1000, false), (0x11_010, true), (0x1810, true)])
    }
}

impl Broker for Pair<'_> {
    fn file(&mut self, id: FileId) -> Option<File> {
        self.folder.file(id)
    }

    fn debug(&mut self, of: FileId, name: &DebugName) -> Option<(FileId, File)> {
        self.folder.debug(of, name)
    }

    fn code(&mut self, address: u64) -> Option<(Code, bool)> {
        self.asked += 1;
        let (start, file) = if address < 0x11_000 {
            (0x1000, self.bad)
        } else {
            (0x11_000, self.good)
        };
        let code = Code {
            start,
            end: start + 0x1000,
            offset: 0x1000,
            of: CodeOf::File(file),
        };
        Some((code, true))
    }

    /// Both are a stranger's.
    fn used(&self, id: FileId) -> Option<UsedFile> {
        let mut used = self.folder.used(id)?;
        used.of.file.user = 7;
        Some(used)
    }

    fn payer(&self) -> Payer {
        self.folder.payer
    }
}

/// The stack comes back to a file whose tables were read before, by way of another one.
#[test]
fn a_stack_is_put_down_to_the_file_that_it_is_at() {
    let mut means = means();
    means.deadlines.cpu = Duration::from_secs(1);
    let mut symbolizer = Symbolizer::start(means.starter, means.deadlines);
    let mut folder = Folder::new();
    // Begin anew.
    let mut pair = Pair::new(&mut folder, &[0x2f, 0xfd, 0xff]);
    let answer = symbolizer.ask(&Pair::stack(), None, &mut pair);
    assert_eq!(answer, Some(Answer::Frames(vec![(0x1000, false)])));
    let used = |file| pair.used(file).expect("it is known");
    assert!(!symbolizer.allows(&used(pair.bad)));
    assert!(
        symbolizer.allows(&used(pair.good)),
        "it was at the other one"
    );
}

/// A file whose part of each stack takes long.
#[test]
fn a_file_that_makes_stacks_slow_pays_and_its_callers_do_not() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    // Count down from 100,000, and return then.
    let count = [
        &[
            0x0c, 0xa0, 0x86, 1, 0, 0x31, 0x1c, 0x12, 0x28, 0xfa, 0xff, 0x13,
        ][..],
        RETURNS,
    ];
    let mut pair = Pair::new(&mut folder, &count.concat());
    let answer = symbolizer.ask(&Pair::stack(), None, &mut pair);
    assert_eq!(answer, Some(Pair::frames()));
    let (bad, good) = (pair.used(pair.bad), pair.used(pair.good));
    let (bad, good) = (bad.expect("known"), good.expect("known"));
    let cost = |symbolizer: &Symbolizer, used: &UsedFile| symbolizer.costs.of(used.of);
    assert!(cost(&symbolizer, &bad) > cost(&symbolizer, &good));
    let of_first = cost(&symbolizer, &bad);
    assert!(of_first > Duration::ZERO);
    // Its code is known by now, and not asked for again.
    let answer = symbolizer.ask(&Pair::stack(), None, &mut pair);
    assert_eq!(answer, Some(Pair::frames()));
    let of_both = cost(&symbolizer, &bad);
    assert!(of_both > of_first * 3 / 2, "{of_first:?} {of_both:?}");
    symbolizer.charge_with(&bad, Duration::from_secs(5));
    let answer = symbolizer.ask(&Pair::stack(), None, &mut pair);
    assert_eq!(
        answer,
        Some(Answer::Frames(vec![(0x1000, false)])),
        "what it knew of that file is forgotten"
    );
    assert!(symbolizer.allows(&good));
}

/// Where a file is barred for one user and read for another, the symbolizer has what unwinds it.
#[test]
fn stacks_of_who_has_a_file_barred_do_not_use_what_was_read_for_others() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let mut pair = Pair::new(&mut folder, RETURNS);
    pair.folder.payer = Payer::User(8);
    let used = pair.used(pair.bad).expect("known");
    symbolizer.blame(&used, &EndReason::CpuTime, Fault::Certain);
    pair.folder.payer = Payer::User(7);
    let answer = symbolizer.ask(&Pair::stack(), None, &mut pair);
    assert_eq!(answer, Some(Pair::frames()), "not barred for this one");
    let mut of_another = Pair::stack();
    if let Question::Unwind(stack) = &mut of_another {
        stack.space = 2;
    }
    pair.folder.payer = Payer::User(8);
    for _ in 0..2 {
        let answer = symbolizer.ask(&of_another, None, &mut pair);
        assert_eq!(answer, Some(Answer::Frames(vec![(0x1000, false)])));
    }
}

/// A stranger makes names of a file by the thousand: the tracer forgets files that the symbolizer reads, and has other
/// numbers for them from then on.
#[test]
fn a_file_that_was_forgotten_meanwhile_is_read_on() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let mut pair = Pair::new(&mut folder, RETURNS);
    let pid = symbolizer.pid();
    let answer = symbolizer.ask(&Pair::stack(), None, &mut pair);
    assert_eq!(answer, Some(Pair::frames()));
    let old = pair.bad;
    for number in 0..files::FILES {
        let name = format!("link-{number}");
        fs::hard_link(pair.folder.path("good"), pair.folder.path(&name)).expect("a link");
        pair.folder.id(&name);
    }
    assert_eq!(pair.used(old), None);
    let answer = symbolizer.ask(&Pair::stack(), None, &mut pair);
    assert_eq!(answer, Some(Pair::frames()));
    // The symbolizer forgets them as well, and asks for them by the old numbers.
    for number in 0..300 {
        let name = format!("other-{number}");
        fs::write(pair.folder.path(&name), endless(RETURNS)).expect("a file");
        let other = pair.folder.id(&name);
        place(&mut symbolizer, pair.folder, other);
    }
    (pair.bad, pair.good) = (pair.folder.id("bad"), pair.folder.id("good"));
    assert_ne!(pair.bad, old);
    let answer = symbolizer.ask(&Pair::stack(), None, &mut pair);
    assert_eq!(answer, Some(Pair::frames()));
    assert_eq!(symbolizer.pid(), pid, "the same one still");
    assert_eq!(symbolizer.take_sentences(), Vec::<String>::new());
}

/// A folder, of whose files it is counted how often they are given.
struct Counting<'a> {
    folder: &'a mut Folder,
    of: FileId,
    given: usize,
}

impl Broker for Counting<'_> {
    fn file(&mut self, id: FileId) -> Option<File> {
        self.given += usize::from(id == self.of);
        self.folder.file(id)
    }

    fn debug(&mut self, of: FileId, name: &DebugName) -> Option<(FileId, File)> {
        self.folder.debug(of, name)
    }

    fn code(&mut self, _: u64) -> Option<(Code, bool)> {
        None
    }

    fn used(&self, id: FileId) -> Option<UsedFile> {
        self.folder.used(id)
    }

    fn payer(&self) -> Payer {
        self.folder.payer
    }
}

/// How often a file is given for an answer to a question about it.
fn given_for(
    symbolizer: &mut Symbolizer,
    folder: &mut Folder,
    of: FileId,
    question: &Question,
) -> usize {
    let mut counting = Counting {
        folder,
        of,
        given: 0,
    };
    let answer = symbolizer.ask(question, None, &mut counting);
    assert!(matches!(answer, Some(Answer::Place(_))), "{answer:?}");
    counting.given
}

/// A stranger has programs read by the hundred. A large one of somebody else would else be read anew at each question, and
/// its user would pay for that.
#[test]
fn programs_of_a_stranger_do_not_push_out_those_of_others() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    let question = Question::Place {
        file: honest,
        offset: own_offset(),
        beyond: 0,
    };
    folder.payer = Payer::User(7);
    let given = |symbolizer: &mut Symbolizer, folder: &mut Folder| {
        folder.payer = Payer::User(7);
        given_for(symbolizer, folder, honest, &question)
    };
    assert_eq!(given(&mut symbolizer, &mut folder), 1);
    folder.payer = Payer::User(8);
    // The stranger has that program read as well.
    assert!(is_named(&mut symbolizer, &mut folder, honest));
    for number in 0..300 {
        let name = format!("stranger-{number}");
        fs::write(folder.path(&name), endless(RETURNS)).expect("a file");
        let id = folder.id(&name);
        place(&mut symbolizer, &mut folder, id);
    }
    assert_eq!(given(&mut symbolizer, &mut folder), 0);
}

/// The same of what compilers write, which is longer than a program's file may be.
#[test]
fn maps_of_a_strangers_compilers_do_not_push_out_those_of_others() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let map = |folder: &mut Folder, name: &str, user| {
        folder.payer = Payer::User(user);
        fs::write(folder.path(name), "1000 10 f\n").expect("a file");
        folder.id(name)
    };
    let question = |map| Question::Jit {
        map,
        address: 0x1004,
        beyond: 0,
    };
    let own = map(&mut folder, "owners", 7);
    assert_eq!(
        given_for(&mut symbolizer, &mut folder, own, &question(own)),
        1
    );
    for number in 0..40 {
        let theirs = map(&mut folder, &format!("stranger-{number}"), 8);
        given_for(&mut symbolizer, &mut folder, theirs, &question(theirs));
    }
    folder.payer = Payer::User(7);
    assert_eq!(
        given_for(&mut symbolizer, &mut folder, own, &question(own)),
        0
    );
}

/// A stranger has numbers given to files by the thousand: one of somebody else keeps the number by which the symbolizer has
/// it.
#[test]
fn files_of_a_stranger_do_not_push_out_those_of_others() {
    let mut folder = Folder::new();
    let honest = folder.honest();
    folder.payer = Payer::User(8);
    fs::write(folder.path("stranger"), endless(RETURNS)).expect("a file");
    for number in 0..files::FILES + 300 {
        let name = format!("link-{number}");
        fs::hard_link(folder.path("stranger"), folder.path(&name)).expect("a link");
        folder.id(&name);
    }
    folder.payer = Payer::ROOT;
    assert_eq!(folder.id("honest"), honest);
}

/// Both sides have a table of address spaces, and forget the same: else what a stack costs would be nobody's.
#[test]
fn code_that_the_symbolizer_keeps_is_known_here_too() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let mut pair = Pair::new(&mut folder, RETURNS);
    let stack = |space| {
        let mut question = Pair::stack();
        if let Question::Unwind(stack) = &mut question {
            stack.space = space;
        }
        question
    };
    let known = |symbolizer: &Symbolizer, space| {
        let process = symbolizer.process.as_ref().expect("it answered");
        process.knows_space(space)
    };
    pair.folder.payer = Payer::User(7);
    symbolizer.ask(&stack(1), None, &mut pair);
    pair.folder.payer = Payer::User(8);
    for space in 2..100 {
        symbolizer.ask(&stack(space), None, &mut pair);
    }
    assert!(known(&symbolizer, 1) && known(&symbolizer, 99) && !known(&symbolizer, 2));
    // What it knows it does not ask for.
    for (space, payer, asked) in [(1, 7, 0), (99, 8, 0), (2, 8, 2)] {
        pair.folder.payer = Payer::User(payer);
        let before = pair.asked;
        let answer = symbolizer.ask(&stack(space), None, &mut pair);
        assert_eq!(answer, Some(Pair::frames()));
        assert_eq!(pair.asked - before, asked, "{space}");
    }
}

/// An ELF file that is cut while it is read: `SIGBUS`.
#[test]
fn a_file_that_is_cut_ends_it_and_nothing_else() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    fs::copy("/proc/self/exe", folder.path("cut")).expect("a copy");
    let cut = folder.id("cut");
    assert!(is_named(&mut symbolizer, &mut folder, cut));
    let before = symbolizer.pid();
    // What is mapped lies behind the end from here on.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(folder.path("cut"))
        .expect("a file");
    file.set_len(0).expect("it is ours");
    let question = stack_at_1000(1);
    // Its tables are not read yet.
    let mut broker = Mapped(&mut folder, cut);
    let answer = symbolizer.ask(&question, None, &mut broker);
    assert_eq!(answer, Some(Answer::Frames(vec![(0x1000, false)])));
    assert_ne!(symbolizer.pid(), before, "another one answers");
    assert!(is_named(&mut symbolizer, &mut folder, honest));
}

/// A process that cannot be what it should: it says nonsense, or nothing, or never comes.
#[test]
fn what_is_no_symbolizer_is_said_once() {
    for (program, words, expected) in [
        ("/no/such/program", vec![], "No such file"),
        ("/bin/true", vec![], "exit status: 0"),
        ("/bin/sh", vec!["-c", "exit 7"], "exit status: 7"),
    ] {
        let starter = Starter {
            program: program.into(),
            words: words.into_iter().map(str::to_owned).collect(),
            memory: 64 << 20,
            numbers: Numbers::default(),
        };
        let mut symbolizer = Symbolizer::start(starter, Deadlines::default());
        let said = symbolizer.take_sentences();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains("cannot be started") && said[0].contains(expected),
            "{said:?}"
        );
        let begun = Instant::now();
        let mut folder = Folder::new();
        fs::write(folder.path("x"), "x").expect("a file");
        let file = folder.id("x");
        for _ in 0..100 {
            assert_eq!(place(&mut symbolizer, &mut folder, file), None);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "it is not tried again"
        );
        assert_eq!(symbolizer.take_sentences(), Vec::<String>::new());
    }
}

/// More memory than it may have: here by a starter that gives it next to none for the file.
#[test]
fn a_file_that_takes_too_much_is_barred_and_the_limit_said() {
    let mut folder = Folder::new();
    let honest = folder.honest();
    let mut symbolizer = start();
    let ended = EndReason::Memory(64 << 20);
    let used = folder.used(honest).expect("it is known");
    symbolizer.blame(&used, &ended, ended.fault());
    assert!(
        symbolizer.take_sentences().is_empty(),
        "it may have been others"
    );
    symbolizer.blame(&used, &ended, ended.fault());
    let said = symbolizer.take_sentences();
    assert_eq!(
        said,
        [
            "places in honest come without names from here on in root's processes: reading it ended the symbolizer \
             (memory limit of 64 MiB: --symbol-memory gives it more)"
        ]
    );
    assert_eq!(place(&mut symbolizer, &mut folder, honest), None);
}

/// What each of these strangers' files does to who reads it. None has names; all others keep theirs, and this process
/// takes no memory by it.
#[test]
fn hostile_files_cost_themselves_alone() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    let elf = fs::read("/proc/self/exe").expect("this test");
    let sections = section_headers(&elf);
    let write = |name: &str, bytes: &[u8], length: u64| {
        let mut file = File::create(folder.at.path().join(name)).expect("a file");
        file.write_all(bytes).expect("a file");
        file.set_len(length.max(bytes.len() as u64))
            .expect("a sparse file");
    };
    // A symbol table, its strings and notes of 8 GiB each, of which there is nothing on the disk.
    let mut sparse = elf.clone();
    for header in &sections {
        sparse[header + 0x20..header + 0x28].copy_from_slice(&(8_u64 << 30).to_le_bytes());
    }
    write("sparse", &sparse, 12 << 30);
    // Sections that are compressed and claim to be enormous.
    for (name, claim) in [("claims", 1_u64 << 45), ("claims-all", u64::MAX)] {
        let mut claims = elf.clone();
        for header in &sections {
            let at = header + 8;
            let flags = u64::from_le_bytes(claims[at..at + 8].try_into().expect("a word"));
            claims[at..at + 8].copy_from_slice(&(flags | 0x800).to_le_bytes());
            let offset = &elf[header + 0x18..header + 0x20];
            let offset = u64::from_le_bytes(offset.try_into().expect("a word"));
            let offset = usize::try_from(offset).expect("small");
            if let Some(head) = claims.get_mut(offset..offset + 24)
                && offset > 0x1000
            {
                head[..8].copy_from_slice(&1_u64.to_le_bytes());
                head[8..16].copy_from_slice(&claim.to_le_bytes());
            }
        }
        write(name, &claims, 0);
    }
    write("cut", &elf[..elf.len() / 3], 0);
    write("headers", &elf[..0x1000], 1 << 40);
    let before = resident();
    for name in ["sparse", "claims", "claims-all", "cut", "headers"] {
        let file = folder.id(name);
        let begun = Instant::now();
        place(&mut symbolizer, &mut folder, file);
        assert!(begun.elapsed() < Duration::from_mins(1), "{name}");
        assert!(is_named(&mut symbolizer, &mut folder, honest), "{name}");
    }
    // Other tests run meanwhile; none of them takes a tenth of what these files ask for.
    assert!(
        resident() < before + (512 << 20),
        "{before}, {}",
        resident()
    );
}

/// Kills the symbolizer that asks for one file, a few times.
fn killed_at(
    symbolizer: &mut Symbolizer,
    folder: &mut Folder,
    file: FileId,
    (signal, times): (i32, u32),
) -> bool {
    let question = Question::Place {
        file,
        offset: own_offset(),
        beyond: 0,
    };
    let number = symbolizer.number.clone();
    let left = Cell::new(times);
    let mut broker = Meanwhile {
        folder,
        bad: file,
        act: &|| {
            if let Some(fewer) = left.get().checked_sub(1) {
                left.set(fewer);
                kill(number.load(Ordering::Relaxed), signal);
            }
        },
    };
    let answer = symbolizer.ask(&question, None, &mut broker);
    matches!(answer, Some(Answer::Place(_)))
}

/// What its reader has left of memory, or has become, by what it read before is not a file's fault; nor that somebody kills it a few times.
#[test]
fn a_file_pays_for_what_a_new_symbolizer_does_at_it_alone() {
    let mut folder = Folder::new();
    let honest = folder.honest();
    fs::copy("/proc/self/exe", folder.path("next")).expect("a copy");
    let next = folder.id("next");
    let used = folder.used(next).expect("known");
    for (is_new, kills, is_barred) in [
        (false, (libc::SIGSEGV, 1), false),
        (true, (libc::SIGKILL, 3), false),
        // As the kernel does each time, where a file takes more memory than there is.
        (true, (libc::SIGKILL, 4), true),
        (true, (libc::SIGSEGV, 2), true),
    ] {
        let mut symbolizer = start();
        for _ in 0..2 {
            assert!(is_new || is_named(&mut symbolizer, &mut folder, honest));
            let is_named = killed_at(&mut symbolizer, &mut folder, next, kills);
            assert_eq!(is_named, !is_barred, "{kills:?}");
            symbolizer.process = None;
        }
        assert_eq!(symbolizer.allows(&used), !is_barred, "{kills:?}");
        let said = symbolizer.take_sentences();
        assert_eq!(said.len(), usize::from(is_barred), "{said:?}");
    }
}

/// This test as a program without names of its own, and where its debug information is looked for.
fn stripped() -> (Vec<u8>, Vec<u8>, PathBuf) {
    use std::fmt::Write as _;

    let elf = fs::read("/proc/self/exe").expect("this test");
    let word = |at: usize| {
        let word = elf[at..at + 8].try_into().expect("a word");
        usize::try_from(u64::from_le_bytes(word)).expect("small")
    };
    let headers = section_headers(&elf);
    let names = headers[usize::from(u16::from_le_bytes([elf[0x3e], elf[0x3f]]))];
    let (start, size) = (word(names + 0x18), word(names + 0x20));
    let mut all = elf[start..start + size].windows(12);
    let debug = all.position(|it| it == b".debug_info\0");
    let mut stripped = elf.clone();
    stripped[start + debug.expect("it has that") + 1] = b'x';
    // `SHT_SYMTAB`.
    for header in headers {
        if stripped[header + 4] == 2 {
            stripped[header + 4] = 1;
        }
    }
    let own = File::open("/proc/self/exe").expect("this test");
    let image = crate::symbolize::Image::open(&own, crate::symbolize::Limits::default());
    let id = image.expect("an ELF file").build_id().map(<[u8]>::to_vec);
    let id = id.expect("the linker writes it");
    let (first, rest) = id.split_first().expect("twenty bytes");
    let mut name = format!("usr/lib/debug/.build-id/{first:02x}/");
    for byte in rest {
        write!(name, "{byte:02x}").expect("it has room");
    }
    name.push_str(".debug");
    (stripped, id, name.into())
}

#[test]
fn debug_information_of_another_build_is_not_taken() {
    let (stripped, id, debug) = stripped();
    let mut other = fs::read("/proc/self/exe").expect("this test");
    let at = other.windows(id.len()).position(|it| it == id);
    other[at.expect("it has a note")] ^= 1;
    let mut folder = Folder::new();
    let path = folder.at.path().join(debug);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(&path, other).expect("a file");
    fs::write(folder.path("program"), stripped).expect("a file");
    let (mut symbolizer, program) = (start(), folder.id("program"));
    assert_eq!(place(&mut symbolizer, &mut folder, program), None);
    fs::remove_file(&path).expect("ours");
    fs::copy("/proc/self/exe", path).expect("a copy");
    symbolizer.process = None;
    assert!(is_named(&mut symbolizer, &mut folder, program));
}

/// A stranger maps a file with debug information as code, has it barred, and then has the program read first.
#[test]
fn debug_information_that_is_barred_for_one_user_is_there_for_others() {
    let (stripped, _, debug) = stripped();
    let mut folder = Folder::new();
    let path = folder.at.path().join(&debug);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::copy("/proc/self/exe", path).expect("a copy");
    fs::write(folder.path("program"), stripped).expect("a file");
    let debug = folder.id(debug.to_str().expect("text"));
    let (mut symbolizer, program) = (start(), folder.id("program"));
    folder.payer = Payer::User(7);
    let used = folder.used(debug).expect("known");
    symbolizer.blame(&used, &EndReason::CpuTime, Fault::Certain);
    place(&mut symbolizer, &mut folder, program);
    folder.payer = Payer::ROOT;
    assert!(is_named(&mut symbolizer, &mut folder, program));
}

/// A broker of a program that is cut each time that its debug information is asked for.
struct Cutting<'a>(&'a mut Folder, FileId, &'a [u8]);

impl Broker for Cutting<'_> {
    fn file(&mut self, id: FileId) -> Option<File> {
        if id == self.1 {
            fs::write(self.0.path("program"), self.2).expect("ours");
        }
        self.0.file(id)
    }

    fn debug(&mut self, of: FileId, name: &DebugName) -> Option<(FileId, File)> {
        let found = self.0.debug(of, name);
        let program = fs::OpenOptions::new()
            .write(true)
            .open(self.0.path("program"));
        program.and_then(|it| it.set_len(0)).expect("ours");
        found
    }

    fn code(&mut self, _: u64) -> Option<(Code, bool)> {
        None
    }

    fn used(&self, id: FileId) -> Option<UsedFile> {
        self.0.used(id)
    }

    fn payer(&self) -> Payer {
        self.0.payer
    }
}

/// A stranger's program names a file of somebody else as its debug information, and has the symbolizer end.
#[test]
fn who_names_a_file_pays_and_not_the_file() {
    let (_, _, debug) = stripped();
    let mut folder = Folder::new();
    let path = folder.at.path().join(debug);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(folder.path("other"), endless(&[0x30])).expect("a file");
    std::os::unix::fs::symlink("/other", path).expect("a link");
    let program = fs::read("/proc/self/exe").expect("this test");
    fs::write(folder.path("program"), &program).expect("a file");
    let id = folder.id("program");
    let mut symbolizer = start();
    let question = Question::Place {
        file: id,
        offset: own_offset(),
        beyond: 0,
    };
    let mut broker = Cutting(&mut folder, id, &program);
    let answer = symbolizer.ask(&question, None, &mut broker);
    assert_eq!(answer, Some(Answer::Nothing));
    let said = symbolizer.take_sentences();
    assert!(
        said.len() == 1 && said[0].starts_with("places in program come without names"),
        "{said:?}"
    );
    let other = folder.id("other");
    let other = folder.used(other).expect("known");
    assert!(symbolizer.allows(&other));
    assert!(!symbolizer.allows(&folder.used(id).expect("known")));
}

/// Sparse files cost nothing, and each takes the address space that it says.
#[test]
fn sparse_files_leave_others_their_room() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    let pid = symbolizer.pid();
    for shift in (17..=35).rev() {
        for number in 0..3 {
            let name = format!("sparse-{shift}-{number}");
            fs::write(folder.path(&name), endless(&[0x30])).expect("a file");
            let file = fs::OpenOptions::new().write(true).open(folder.path(&name));
            file.and_then(|it| it.set_len(1 << shift))
                .expect("a sparse file");
            let id = folder.id(&name);
            place(&mut symbolizer, &mut folder, id);
        }
    }
    assert!(is_named(&mut symbolizer, &mut folder, honest));
    assert_eq!(symbolizer.pid(), pid, "it had room");
    assert_eq!(symbolizer.take_sentences(), Vec::<String>::new());
}

/// Less address space than the symbolizer gives itself, as where the tracer was started with a limit.
#[test]
fn a_file_that_finds_no_room_takes_that_of_others() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let pid = symbolizer.pid().expect("it runs");
    let program = fs::metadata("/proc/self/exe").expect("this test");
    // Not all of it may be holes.
    let length = program.len() * 32;
    let files = ["one", "two"].map(|name| {
        fs::copy("/proc/self/exe", folder.path(name)).expect("a copy");
        let file = fs::OpenOptions::new().write(true).open(folder.path(name));
        file.and_then(|it| it.set_len(length))
            .expect("a sparse file");
        folder.id(name)
    });
    let limit = Rlimit {
        current: Some(length / 2 * 3),
        maximum: Some(length / 2 * 3),
    };
    let process = Pid::from_raw(pid.cast_signed());
    prlimit(process, Resource::As, limit).expect("it is our child");
    for file in [files[0], files[1], files[0]] {
        assert!(is_named(&mut symbolizer, &mut folder, file));
    }
    assert_eq!(symbolizer.pid(), Some(pid));
}

/// Where the section headers of a file are.
fn section_headers(elf: &[u8]) -> Vec<usize> {
    let word = |at: usize| {
        let word = elf[at..at + 8].try_into().expect("a word");
        usize::try_from(u64::from_le_bytes(word)).expect("small")
    };
    let count = u16::from_le_bytes(elf[0x3c..0x3e].try_into().expect("a number"));
    let first = word(0x28);
    (0..usize::from(count)).map(|it| first + 64 * it).collect()
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let mut text = String::new();
    File::open("/proc/self/statm")
        .and_then(|mut it| it.read_to_string(&mut text))
        .expect("ours");
    let pages: u64 = text
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse().ok())
        .expect("a number");
    pages * 4096
}

/// Has a file cost its payer too much.
pub(in crate::symbolize::parent) fn bar(symbolizer: &mut Symbolizer, used: &UsedFile) {
    symbolizer.charge_with(used, Duration::from_mins(1));
    assert!(!symbolizer.allows(used));
}

/// A file of a user, which that user runs.
fn strangers(user: u32, inode: u64, name: &str) -> UsedFile {
    UsedFile {
        of: Use::own((0, user), inode, user),
        name: name.to_owned(),
    }
}

/// Files by the thousand, each of another user: one who may use their numbers makes them.
#[test]
fn what_strangers_do_is_said_so_many_times() {
    let mut symbolizer = start();
    for user in 1..100 {
        for file in 0..2 {
            let used = strangers(user, file, &format!("/tmp/{user}/{file}"));
            symbolizer.blame(&used, &EndReason::CpuTime, Fault::Certain);
            assert!(!symbolizer.allows(&used));
        }
    }
    let said = symbolizer.take_sentences();
    assert_eq!(said.len(), 9, "{said:?}");
    assert_eq!(
        said[8],
        "places in more files come without names, which is not said of each"
    );
}

/// A file that never ends the symbolizer, and whose places take a second each.
#[test]
fn a_file_that_is_slow_each_time_is_barred_and_others_go_on() {
    let (mut symbolizer, mut folder) = (start(), Folder::new());
    let honest = folder.honest();
    assert!(is_named(&mut symbolizer, &mut folder, honest));
    let process = symbolizer.process.as_ref().expect("it answered");
    assert!(process.spent().is_some_and(|it| !it.is_zero()));
    let slow = strangers(7, 1, "/tmp/slow");
    for _ in 0..5 {
        symbolizer.charge_with(&slow, Duration::from_secs(1));
        assert!(symbolizer.allows(&slow));
    }
    symbolizer.charge_with(&slow, Duration::from_secs(1));
    assert!(!symbolizer.allows(&slow), "barred");
    assert_eq!(
        symbolizer.take_sentences(),
        [
            "places in /tmp/slow come without names from here on in processes of user 7: reading it takes too much CPU time"
        ]
    );
    let mut others = slow;
    others.of.payer = Payer::User(8);
    assert!(
        symbolizer.allows(&others),
        "a stranger runs anybody's program"
    );
    assert!(
        is_named(&mut symbolizer, &mut folder, honest),
        "others go on"
    );
}
