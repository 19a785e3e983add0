use super::*;

const LIMITS: Limits = Limits {
    total: Some(Duration::from_secs(100)),
    boot: Duration::from_secs(30),
    silence: Duration::from_secs(20),
    farewell: Duration::from_secs(15),
};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn start() -> (Watch, Instant) {
    let now = Instant::now();
    (Watch::new(LIMITS, now), now)
}

#[test]
fn a_good_run_ends_with_the_commands_status() {
    let (mut watch, now) = start();
    assert_eq!(watch.result(r#"{"init":"up"}"#, now + seconds(3)), None);
    assert!(watch.booted());
    let line = r#"{"test":"syscall","verdict":"pass"}"#;
    assert_eq!(watch.result(line, now + seconds(4)), Some(line));
    watch.output(5);
    watch.result(r#"{"exit":3,"stdout":5,"stderr":2}"#, now + seconds(5));
    assert_eq!(
        watch.step(now + seconds(5)),
        Step::Watch(now + seconds(5) + LIMITS.farewell),
        "two bytes are still to come"
    );
    watch.output(2);
    assert_eq!(watch.step(now + seconds(5)), Step::SayGoodbye);
    assert!(matches!(watch.step(now + seconds(5)), Step::Watch(_)));
    watch.ended("exit status: 0".to_owned());
    assert_eq!(watch.step(now + seconds(6)), Step::Done(3));
}

#[test]
fn an_emulator_that_will_not_end_spoils_nothing() {
    let (mut watch, now) = start();
    watch.result(r#"{"exit":0,"stdout":0,"stderr":0}"#, now);
    assert_eq!(watch.step(now), Step::SayGoodbye);
    assert_eq!(watch.step(now + LIMITS.farewell), Step::Done(0));
}

#[test]
fn lost_output_is_a_fault() {
    let (mut watch, now) = start();
    watch.result(r#"{"exit":0,"stdout":9,"stderr":0}"#, now);
    watch.output(4);
    watch.ended("exit status: 0".to_owned());
    assert_eq!(
        watch.step(now),
        Step::Failed(Fault::Output { sent: 9, came: 4 })
    );
}

#[test]
fn a_panic_is_reported_after_its_aftermath() {
    let (mut watch, now) = start();
    watch.result(r#"{"init":"up"}"#, now);
    watch.console("[    3.1] Kernel panic - not syncing: x", now);
    watch.console("[    3.2] BUG: second", now);
    assert_eq!(watch.step(now), Step::Watch(now + AFTERMATH));
    let fault = Fault::Kernel("[    3.1] Kernel panic - not syncing: x".to_owned());
    assert_eq!(watch.step(now + AFTERMATH), Step::Failed(fault.clone()));
    watch.ended("exit status: 0".to_owned());
    assert_eq!(watch.step(now), Step::Failed(fault));
}

#[test]
fn every_way_to_fail_is_seen() {
    for line in [
        "Kernel panic - not syncing: Attempted to kill init!",
        "Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI",
        "BUG: kernel NULL pointer dereference, address: 0000000000000000",
        "kernel BUG at kernel/time/tick-sched.c:12!",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 26s!",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "INFO: task init:1 blocked for more than 120 seconds.",
        "isol-trace guest init: no plan",
    ] {
        let (mut watch, now) = start();
        watch.console(line, now);
        assert!(
            matches!(watch.step(now + AFTERMATH), Step::Failed(_)),
            "{line}"
        );
    }
}

#[test]
fn ordinary_lines_are_no_fault() {
    let (mut watch, now) = start();
    for line in [
        "rcu: \tRCU debug extended QS entry/exit.",
        "WARNING: CPU: 0 PID: 1 at kernel/sched/debug.c:1 fair_server_write",
        "DEBUG: hello",
    ] {
        watch.console(line, now);
    }
    assert!(matches!(watch.step(now + AFTERMATH), Step::Watch(_)));
}

#[test]
fn the_emulators_own_fault_is_told_apart() {
    let (mut watch, now) = start();
    watch.console("Oops: int3: 0000 [#1] PREEMPT SMP NOPTI", now);
    watch.console("RIP: 0010:__ct_user_exit+0x1/0x40", now);
    watch.console(
        "[ 1.5] Code: 0f 1f 44 00 00 e8 d2 d8 00 00 66 <90> c3 cc cc cc cc 65 8b",
        now,
    );
    watch.console("[ 1.6] Code: 3d 19 00 fb cc <c3> cc cc cc cc 66 66", now);
    assert!(matches!(
        watch.step(now + AFTERMATH),
        Step::Failed(Fault::Emulator(_))
    ));

    let (mut watch, now) = start();
    watch.console("Oops: int3: 0000 [#1] PREEMPT SMP NOPTI", now);
    watch.console("RIP: 0010:do_idle+0x1/0x40", now);
    watch.console(
        "[ 1.5] Code: 0f 1f 44 00 00 e8 d2 d8 00 00 cc <90> c3 cc cc cc cc 65 8b",
        now,
    );
    watch.console("[ 1.6] Code: 3d 19 00 fb f4 <c3> cc cc cc cc 66 66", now);
    assert!(matches!(
        watch.step(now + AFTERMATH),
        Step::Failed(Fault::Kernel(_))
    ));
}

#[test]
fn silence_and_slowness_are_faults_of_their_own() {
    let (mut watch, now) = start();
    assert_eq!(watch.step(now), Step::Watch(now + LIMITS.boot));
    assert_eq!(
        watch.step(now + LIMITS.boot),
        Step::Failed(Fault::Boot(LIMITS.boot))
    );
    watch.result(r#"{"init":"up"}"#, now + seconds(10));
    assert_eq!(
        watch.step(now + seconds(30)),
        Step::Failed(Fault::Silence(LIMITS.silence))
    );
    for at in (10..100).step_by(10) {
        watch.result(r#"{"init":"alive"}"#, now + seconds(at));
    }
    assert_eq!(
        watch.step(now + seconds(100)),
        Step::Failed(Fault::TimeLimit(seconds(100)))
    );
    watch.ended("exit status: 0".to_owned());
    assert_eq!(
        watch.step(now + seconds(50)),
        Step::Failed(Fault::Ended("exit status: 0".to_owned()))
    );
}

#[test]
fn a_person_has_all_the_time() {
    let now = Instant::now();
    let limits = Limits {
        total: None,
        ..LIMITS
    };
    let mut watch = Watch::new(limits, now);
    watch.result(r#"{"init":"alive"}"#, now + seconds(10_000));
    assert!(matches!(watch.step(now + seconds(10_001)), Step::Watch(_)));
}
