//! Tasks that come to the CPU.

use isol_trace_common::record::{KIN_WORKER, Kin as Record};

use super::*;
use crate::event::task::Kin;

/// Thread 42 ran.
fn ran_42() -> KernelActivity {
    KernelActivity {
        number: 42,
        key: None,
        comm: Some("ls".into()),
        ..ran(Activity::Switch, 0)
    }
}

fn kin(flags: u8) -> Record {
    Record {
        flags,
        tid: 42,
        pid: 40,
        parent: 7,
        parent_comm: [u64::from_le_bytes(*b"cron\0\0\0\0"), 0],
        ..Record::default()
    }
}

fn by(comm: [u8; 16], at: u64, key: u64) -> Send {
    Send {
        comm,
        ..send(at, key, 7)
    }
}

const MIGRATION: [u8; 16] = *b"migration/0\0\0\0\0\0";

fn joined(sent: &[(Via, Send)], told: Option<Record>, cause: Cause) -> RawBreach {
    let mut join = join(sent);
    if let Some(told) = told {
        join.kin(&told);
    }
    let entry = entered(cause, vec![ran_42()]);
    join.join(Seq(1), entry)
}

#[test]
fn who_ran_is_known_by_its_process_and_parent() {
    let entry = joined(&[], Some(kin(KIN_WORKER)), Cause::LocalTimer);
    let parent = Some((Pid(7), "cron".into()));
    assert_eq!(
        entry.asked[0].kin,
        Some(Kin {
            pid: Pid(40),
            worker: true,
            parent,
        })
    );
    let unknown = joined(&[], None, Cause::LocalTimer);
    assert_eq!(unknown.asked[0].kin, None);
}

#[test]
fn who_runs_is_remembered_longer_than_who_ran_once() {
    let mut join = join(&[]);
    let mut runs = |told: Option<u32>| {
        if let Some(tid) = told {
            join.kin(&Record { tid, ..kin(0) });
        }
        let entry = entered(Cause::LocalTimer, vec![ran_42()]);
        let entry = join.join(Seq(1), entry);
        entry.asked[0].kin.is_some()
    };
    assert!(runs(Some(42)));
    assert!((100..20_000).all(|tid| runs(Some(tid))));
    // Others come, and 42 runs no more.
    for tid in 100..20_000 {
        join.kin(&Record { tid, ..kin(0) });
    }
    let entry = entered(Cause::LocalTimer, vec![ran_42()]);
    let entry = join.join(Seq(1), entry);
    assert_eq!(entry.asked[0].kin, None);
}

#[test]
fn who_made_the_task_is_the_origin_rather_than_the_interrupt() {
    let parent = *b"cron\0\0\0\0\0\0\0\0\0\0\0\0";
    let sent = [
        (Via::Fork, by(parent, 900, 42)),
        (Via::Reschedule, by(parent, 905, 0)),
    ];
    let entry = joined(&sent, Some(kin(0)), Cause::Reschedule);
    let [Origin::Remote(sender)] = entry.origins.as_slice() else {
        panic!("{:?}", entry.origins)
    };
    assert_eq!((sender.via, sender.inferred), (Via::Fork, false));
    assert_eq!(who(&entry.origins), [Some((7, false))]);
    assert_eq!(entry.asked[0].origin, None, "told already");
    // Where another interrupt began the entry, it is the switch that the parent has brought about.
    let entry = joined(&sent[..1], Some(kin(0)), Cause::LocalTimer);
    let asked = entry.asked[0].origin.as_ref();
    assert_eq!(
        asked.and_then(Origin::sender).map(|it| it.via),
        Some(Via::Fork)
    );
}

#[test]
fn a_task_that_is_moved_comes_by_itself_unless_somebody_else_moves_it() {
    let moved = |comm| {
        let sent = [
            (Via::Move, by(comm, 900, 42)),
            (Via::Reschedule, by(comm, 905, 0)),
        ];
        let entry = joined(&sent, Some(kin(0)), Cause::Reschedule);
        let sender = entry.origins[0].sender().unwrap();
        assert_eq!((sender.via, sender.cpu), (Via::Move, Some(Cpu(0))));
        assert_eq!(entry.asked[0].origin, None);
        sender.task.clone().unwrap()
    };
    let own = moved(MIGRATION);
    assert_eq!((own.pid, own.tid), (Some(Pid(40)), Tid(42)));
    assert_eq!(own.comm.as_deref(), Some("ls"));
    let other = moved(*b"taskset\0\0\0\0\0\0\0\0\0");
    assert_eq!(other.comm.as_deref(), Some("taskset"));
}

#[test]
fn an_interrupt_of_before_is_somebody_elses() {
    let sent = [
        (Via::Reschedule, by(MIGRATION, 890, 0)),
        (Via::Move, by(MIGRATION, 900, 42)),
    ];
    let entry = joined(&sent, Some(kin(0)), Cause::Reschedule);
    let sender = entry.origins[0].sender().unwrap();
    assert_eq!(sender.via, Via::Reschedule);
}

#[test]
fn threads_are_forgotten_beyond_a_number() {
    let mut join = join(&[]);
    for tid in 0..10_000 {
        join.kin(&Record { tid, ..kin(0) });
    }
    let entry = entered(Cause::LocalTimer, vec![ran_42()]);
    let entry = join.join(Seq(1), entry);
    assert_eq!(entry.asked[0].kin, None);
}
