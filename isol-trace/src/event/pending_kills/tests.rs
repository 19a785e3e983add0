use super::*;
use crate::event::{entry::tests::entry, ids::Address};

const TID: u32 = 7;

fn wire() -> wire::Kill {
    wire::Kill {
        signal: 9,
        flags: KILL_FATAL | KILL_SENDER,
        tid: TID,
        pid: 70,
        cpu: 1,
        at_ns: 500,
        opened_ns: 300,
        entry_cpu: 1,
        sender_cpu: 4,
        sender_pid: 80,
        sender_tid: 81,
        sender_comm: [0x68_73, 0],
        ..wire::Kill::default()
    }
}

fn by(change: impl FnOnce(&mut wire::Kill)) -> &'static str {
    let mut kill = wire();
    change(&mut kill);
    let signal = Signal::new(u32::from(kill.signal)).unwrap();
    raised_by(&kill, Raiser::Signal, signal).word()
}

#[test]
fn a_raiser_is_told_from_code_and_sender() {
    let kill = wire();
    assert_eq!(
        raised_by(&kill, Raiser::StrictMode, Signal::KILL),
        KilledBy::StrictMode
    );
    assert_eq!(
        raised_by(&kill, Raiser::Tracer, Signal::KILL),
        KilledBy::Tracer
    );
    let KilledBy::Remote(sender) = raised_by(&kill, Raiser::Signal, Signal::KILL) else {
        panic!("kill(2) of another process")
    };
    assert_eq!(sender.cpu, Cpu(4));
    assert_eq!(sender.task.comm.as_deref(), Some("sh"));
    assert_eq!(by(|kill| kill.flags = KILL_FATAL), "unknown");
    assert_eq!(by(|kill| kill.sender_pid = 70), "task", "abort(3)");
    // Its own fault: SEGV_MAPERR, and a general protection fault.
    for code in [1, SI_KERNEL] {
        let own = |kill: &mut wire::Kill| {
            (kill.signal, kill.code) = (11, code);
            (kill.sender_pid, kill.sender_tid) = (70, TID);
        };
        assert_eq!(by(own), "task", "{code}");
    }
    // Another thread's fault, which ends this one as well.
    let siblings = |kill: &mut wire::Kill| {
        (kill.signal, kill.code, kill.sender_pid) = (11, 1, 70);
    };
    assert_eq!(by(siblings), "task");
    // Out of memory, in whoever's time it was.
    assert_eq!(by(|kill| kill.code = SI_KERNEL), "kernel");
    // Limits that the task finds itself: memory, CPU time, and the size of a file.
    for (signal, code) in [
        (9, SI_KERNEL),
        (24, SI_KERNEL),
        (27, SI_KERNEL),
        (25, SI_USER),
    ] {
        let own = |kill: &mut wire::Kill| {
            (kill.signal, kill.code) = (signal, code);
            (kill.sender_pid, kill.sender_tid) = (70, TID);
        };
        assert_eq!(by(own), "kernel", "{signal}");
    }
    // A timer, in an interrupt of the task itself.
    let timer = |kill: &mut wire::Kill| {
        kill.flags |= KILL_BY_INTERRUPT;
        (kill.sender_pid, kill.sender_tid) = (70, TID);
    };
    assert_eq!(by(timer), "kernel");
    // One of its CPU time, which it expires itself on its way to user mode.
    let cpu_timer = |kill: &mut wire::Kill| {
        kill.code = SI_TIMER;
        (kill.sender_pid, kill.sender_tid) = (70, TID);
    };
    assert_eq!(by(cpu_timer), "kernel");
}

#[test]
fn every_word_is_one() {
    let all = [
        KilledBy::StrictMode,
        KilledBy::Tracer,
        KilledBy::Task,
        raised_by(&wire(), Raiser::Signal, Signal::KILL),
        KilledBy::Kernel,
        KilledBy::Unknown,
    ];
    assert_eq!(all.map(|by| by.word()), KilledBy::WORDS);
}

/// A machine and the breaches that it has seen.
#[derive(Default)]
struct Seen {
    kills: Kills,
    next: u64,
}

impl Seen {
    /// A breach ends; gives the kills that it releases.
    fn ends(&mut self, tid: u32, cpu: u32, at: u64) -> Vec<RawKill> {
        self.next += 1;
        let mut one = entry();
        (one.cpu, one.at) = (Cpu(cpu), MonoNanos(at));
        one.task.tid = Tid(tid);
        let mut taken = Vec::new();
        self.kills
            .numbered(Seq(self.next), &one, |kill| taken.push(kill));
        taken
    }

    fn comes(&mut self, kill: &wire::Kill) -> Vec<RawKill> {
        let pending = PendingKill::of(kill, Raiser::Signal, Signal::KILL, None);
        let mut taken = Vec::new();
        self.kills.on_record(pending, |kill| taken.push(kill));
        taken
    }
}

fn numbers(history: &[Seq]) -> Vec<u64> {
    history.iter().map(|seq| seq.0).collect()
}

#[test]
fn a_kill_waits_for_the_end_of_its_breach_and_names_those_before() {
    let mut seen = Seen::default();
    for (tid, cpu, at) in [(TID, 1, 100), (8, 1, 150), (TID, 2, 160), (TID, 1, 200)] {
        assert!(seen.ends(tid, cpu, at).is_empty());
    }
    assert!(seen.comes(&wire()).is_empty(), "its entry is still open");
    assert!(seen.ends(TID, 2, 900).is_empty(), "another CPU's");
    let [kill] = &*seen.ends(TID, 1, 300) else {
        panic!("not released")
    };
    assert_eq!(kill.breach, Some(Seq(6)));
    assert_eq!(numbers(&kill.history), [1, 4, 6]);
    assert!(seen.ends(TID, 1, 301).is_empty(), "once");
}

#[test]
fn a_kill_whose_breach_has_ended_already_does_not_wait() {
    let mut seen = Seen::default();
    for at in [100, 300, 400] {
        seen.ends(TID, 1, at);
        if at < 300 {
            continue;
        }
        let [kill] = &*seen.comes(&wire()) else {
            panic!("it waits")
        };
        assert_eq!(kill.breach, Some(Seq(2)));
        assert_eq!(numbers(&kill.history), [1, 2]);
    }
}

#[test]
fn what_is_remembered_of_a_thread_is_bounded() {
    let mut seen = Seen::default();
    for at in 300..400 {
        seen.ends(TID, 1, at);
    }
    let [kill] = &*seen.comes(&wire()) else {
        panic!("it waits")
    };
    assert_eq!(kill.breach, None, "forgotten");
}

/// One that is struck and has to wait for its CPU dies after many breaches of those who run there meanwhile.
#[test]
fn breaches_of_others_push_out_none_of_the_task_that_is_to_die() {
    let mut seen = Seen::default();
    for at in [100, 200, 300] {
        seen.ends(TID, 1, at);
    }
    for at in 301..500 {
        seen.ends(8, 1, at);
    }
    let [kill] = &*seen.comes(&wire()) else {
        panic!("it waits")
    };
    assert_eq!(kill.breach, Some(Seq(3)));
    assert_eq!(numbers(&kill.history), [1, 2, 3]);
}

#[test]
fn a_kill_whose_breach_was_lost_goes_with_the_next_one() {
    let mut seen = Seen::default();
    seen.ends(TID, 1, 100);
    seen.comes(&wire());
    let [kill] = &*seen.ends(8, 1, 400) else {
        panic!("it waits for what cannot come")
    };
    assert_eq!(kill.breach, None);
    assert_eq!(numbers(&kill.history), [1]);
}

#[test]
fn a_history_is_bounded_and_the_end_of_the_log_waits_for_nothing() {
    let mut seen = Seen::default();
    for at in 0..20 {
        seen.ends(TID, 1, at);
    }
    seen.comes(&wire());
    let mut left = Vec::new();
    seen.kills.finish(|kill| left.push(kill));
    assert_eq!(
        numbers(&left[0].history),
        [12, 13, 14, 15, 16, 17, 18, 19, 20]
    );
    let none = wire::Kill {
        opened_ns: 0,
        ..wire()
    };
    assert_eq!(seen.comes(&none).len(), 1, "no entry to wait for");
    for _ in 0..=MAX_WAITING {
        left.extend(seen.comes(&wire()));
    }
    assert_eq!(left.len(), 2, "the oldest goes");
}

const SI_TKILL: i32 = -6;
const SEGV_MAPERR: i32 = 1;

/// Without context tracking a signal that a task raises itself is delivered when its entry is closed.
#[test]
fn a_closed_entry_that_must_have_led_to_it_is_its_breach() {
    let told_after = |cause: CauseDetail, signal: u8, code: i32, sender: u32| {
        let mut seen = Seen::default();
        let mut one = entry();
        (one.cpu, one.at) = (Cpu(1), MonoNanos(300));
        (one.task.tid, one.cause) = (Tid(TID), cause);
        seen.kills.numbered(Seq(7), &one, |_| ());
        let kill = wire::Kill {
            signal,
            code,
            opened_ns: 0,
            sender_pid: 70,
            sender_tid: sender,
            ..wire()
        };
        let signal = Signal::new(u32::from(signal)).unwrap();
        let mut taken = Vec::new();
        let pending = PendingKill::of(&kill, Raiser::Signal, signal, None);
        seen.kills.on_record(pending, |kill| taken.push(kill));
        taken.pop().unwrap().breach
    };
    let call = || CauseDetail::Syscall {
        number: Some(234),
        args: None,
    };
    let fault = || CauseDetail::PageFault {
        address: Address(8),
        write: true,
        user: true,
        fetch: false,
        protection: false,
    };
    assert_eq!(told_after(call(), 6, SI_TKILL, TID), Some(Seq(7)), "abort");
    assert_eq!(told_after(fault(), 11, SEGV_MAPERR, TID), Some(Seq(7)));
    // Another thread's, a general protection fault, an illegal instruction: the last entry says nothing.
    assert_eq!(told_after(fault(), 11, SEGV_MAPERR, 8), None);
    assert_eq!(told_after(fault(), 11, SI_KERNEL, TID), None);
    assert_eq!(told_after(call(), 11, SEGV_MAPERR, TID), None);
    assert_eq!(told_after(call(), 4, 2, TID), None);
}
