//! Work that a CPU puts off to an interrupt of its own.

use super::*;

fn raised(at: u64) -> KernelActivity {
    ran(Activity::IrqWork, at)
}

fn raise(at: u64, tid: u32) -> (Via, Send) {
    (
        Via::IrqWork,
        Send {
            cpu: CPU.0,
            ..send(at, 0, tid)
        },
    )
}

#[test]
fn who_raised_it_is_known_by_the_moment() {
    let mut join = join(&[raise(700, 6), raise(900, 7), raise(950, 8)]);
    let entry = entered(Cause::IrqWork, vec![raised(900)]);
    let origins = provokers(&mut join, &entry);
    assert_eq!(who(&origins), [Some((7, false))]);
    assert!(matches!(&origins[0], Origin::Kernel(Some(sender)) if sender.via == Via::IrqWork));
    assert_eq!(
        provokers(&mut join, &entry),
        [Origin::Kernel(None)],
        "answered once"
    );
    let older = entered(Cause::IrqWork, vec![raised(700)]);
    assert_eq!(
        provokers(&mut join, &older),
        [Origin::Kernel(None)],
        "what is older than one that has run, has run"
    );
}

#[test]
fn who_raised_it_inside_an_entry_is_that_activitys_origin() {
    let mut join = join(&[raise(1200, 7)]);
    let entry = entered(Cause::LocalTimer, vec![raised(1200)]);
    let entry = join.join(Seq(1), entry);
    let asked = entry.asked[0].origin.clone();
    assert_eq!(
        who(&asked.into_iter().collect::<Vec<_>>()),
        [Some((7, false))]
    );
}

#[test]
fn a_later_interrupts_work_began_nothing() {
    let mut join = join(&[raise(1200, 7)]);
    let entry = entered(Cause::IrqWork, vec![raised(1200)]);
    let entry = join.join(Seq(1), entry);
    assert_eq!(entry.origins, [Origin::Kernel(None)]);
    assert!(entry.asked[0].origin.is_some());
}

#[test]
fn without_the_tracepoint_it_is_the_kernels() {
    let entry = entered(Cause::IrqWork, Vec::new());
    let entry = join(&[]).join(Seq(1), entry);
    assert_eq!(entry.origins, [Origin::Kernel(None)]);
}

#[test]
fn what_ran_unseen_is_not_kept() {
    let mut all = Join::new(Pid(4242));
    for at in 1..=1000 {
        let (via, send) = raise(at, 7);
        all.sent(via, &send);
    }
    assert_eq!(all.waiting.len().1, 16);
    assert_eq!(all.evicted(), 0, "nobody waits for it");
}
