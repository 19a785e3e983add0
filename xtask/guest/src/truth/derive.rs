//! The log that the tracer should have written, derived from ftrace's events as far as ftrace knows.

use super::{
    independent::Event,
    log::{Activity, Breach, Cause, Log, Origin, Task},
};

/// Derives the log that the tracer should have written, as far as ftrace knows.
#[must_use]
pub fn derive(cpu: u32, events: &[Event]) -> Log {
    let mut log = Log::default();
    let mut open: Option<Breach> = None;
    let close = |open: &mut Option<Breach>, log: &mut Log, end: &str| {
        if let Some(mut breach) = open.take() {
            breach.seq = log.breaches.len() as u64 + 1;
            end.clone_into(&mut breach.end);
            if breach.cause.kind.is_empty() {
                "unknown".clone_into(&mut breach.cause.kind);
            }
            log.breaches.push(breach);
        }
    };
    for event in events {
        match event.name.as_str() {
            "user_exit" => {
                open = Some(Breach {
                    mono_ns: event.at,
                    cpu,
                    task: Task {
                        tid: event.tid,
                        ..Task::default()
                    },
                    ..Breach::default()
                });
            }
            "user_enter" => {
                let same = open.as_ref().is_some_and(|one| one.task.tid == event.tid);
                let slept = open.as_ref().is_some_and(|one| one.idle_ns.is_some());
                let end = match (same, slept) {
                    (true, true) => "blocked",
                    (true, false) => "return",
                    (false, _) => "switched",
                };
                close(&mut open, &mut log, end);
            }
            "sched_process_exit" if open.as_ref().is_some_and(|one| one.task.tid == event.tid) => {
                close(&mut open, &mut log, "exited");
            }
            "nmi_handler"
                if open.is_none() && event.tid != 0 && event.value("handled:") != Some("0") =>
            {
                open = Some(Breach {
                    mono_ns: event.at,
                    cpu,
                    task: Task {
                        tid: event.tid,
                        ..Task::default()
                    },
                    ..Breach::default()
                });
                if let Some(breach) = &mut open {
                    note(breach, event);
                }
                close(&mut open, &mut log, "return");
            }
            _ => {
                if let Some(breach) = &mut open {
                    note(breach, event);
                }
            }
        }
    }
    log
}

fn note(breach: &mut Breach, event: &Event) {
    let mut activity = |kind: &str, name: Option<&str>| {
        breach.activity.push(Activity {
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            ..Activity::default()
        });
    };
    let cause = match event.name.as_str() {
        "softirq_entry" => return activity("softirq", event.value("action=")),
        "page_fault_kernel" => return activity("fault", None),
        "csd_function_entry" => return activity("csd", event.value("func=")),
        "hrtimer_expire_entry" => return activity("hrtimer", event.value("function=")),
        "timer_expire_entry" => return activity("timer", event.value("function=")),
        "workqueue_execute_start" => return activity("work", event.value("function ")),
        "tick_stop" => return activity("tick", event.value("dependency=")),
        "signal_deliver" => return activity("signal", event.value("sig=")),
        "sched_switch" => {
            let next = event.value("next_comm=");
            activity("switch", next);
            if event.value("next_pid=") == Some("0") {
                breach.idle_ns = Some(1);
            }
            return;
        }
        "sys_enter" => Cause {
            kind: "syscall".to_owned(),
            nr: event.value("NR ").and_then(|text| text.parse().ok()),
            name: event.value("NR ").and_then(syscall_name).map(str::to_owned),
            ..Cause::default()
        },
        "page_fault_user" => {
            let code = event
                .value("error_code=")
                .and_then(super::expect::parse_address);
            Cause {
                kind: "page_fault".to_owned(),
                address: event.value("address=").map(str::to_owned),
                write: code.map(|code| code & 2 != 0),
                user: code.map(|code| code & 4 != 0),
                ..Cause::default()
            }
        }
        "irq_handler_entry" => Cause {
            kind: "device_irq".to_owned(),
            irq: event.value("irq=").and_then(|text| text.parse().ok()),
            name: event.value("name=").map(str::to_owned),
            ..Cause::default()
        },
        "nmi_handler" => Cause {
            kind: "nmi".to_owned(),
            name: event
                .rest
                .split_once("()")
                .map(|(handler, _)| handler.to_owned()),
            ..Cause::default()
        },
        "signal_generate" => Cause {
            kind: "exception".to_owned(),
            name: trap_name(event.value("sig="), event.value("code=")).map(str::to_owned),
            ..Cause::default()
        },
        other => match vector(other) {
            Some(kind) => Cause {
                kind: kind.to_owned(),
                ..Cause::default()
            },
            None => return,
        },
    };
    if breach.cause.kind.is_empty() {
        let origin = match cause.kind.as_str() {
            "syscall" | "page_fault" | "exception" => "task",
            "device_irq" => "device",
            _ => "unknown",
        };
        breach.cause = cause;
        breach.origins = vec![Origin {
            kind: origin.to_owned(),
            ..Origin::default()
        }];
    } else if let Some(kind) = vector(&event.name) {
        activity("vector", Some(kind));
    }
}

fn vector(event: &str) -> Option<&'static str> {
    Some(match event {
        "local_timer_entry" => "local_timer",
        "reschedule_entry" => "reschedule",
        "call_function_entry" => "call_function",
        "call_function_single_entry" => "call_function_single",
        "irq_work_entry" => "irq_work",
        "x86_platform_ipi_entry" => "platform_ipi",
        "thermal_apic_entry" => "thermal",
        "threshold_apic_entry" => "threshold",
        "deferred_error_apic_entry" => "deferred_error",
        "error_apic_entry" => "apic_error",
        "spurious_apic_entry" => "spurious",
        _ => return None,
    })
}

/// Only the calls that triggers make.
fn syscall_name(number: &str) -> Option<&'static str> {
    Some(match number.parse::<libc::c_long>().ok()? {
        libc::SYS_getppid => "getppid",
        libc::SYS_nanosleep => "nanosleep",
        libc::SYS_rt_sigreturn => "rt_sigreturn",
        libc::SYS_exit_group => "exit_group",
        libc::SYS_read => "read",
        libc::SYS_recvfrom => "recvfrom",
        libc::SYS_uname => "uname",
        _ => return None,
    })
}

/// ftrace shows no trap number: signal and code tell some of them apart.
fn trap_name(signal: Option<&str>, code: Option<&str>) -> Option<&'static str> {
    Some(match (signal?, code?) {
        ("8", "1") => "divide_error",
        ("8", _) => "x87_fpu",
        ("4", _) => "invalid_opcode",
        ("5", "128") => "breakpoint",
        ("5", _) => "debug",
        // Overflow looks the same; `plan::observe` knows.
        ("11", "128") => "general_protection",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::independent::parse, *};

    const TEXT: &str = "# tracer: nop
           truth-97      [001] d..1.    12.000345: user_exit: 
           truth-97      [001] d.h1.    12.000346: call_function_single_entry: vector=251
           truth-97      [001] d.h1.    12.000347: csd_function_entry: func=flush_tlb_func csd=0000000012345678
           truth-97      [001] d..1.    12.000350: user_enter: 
           truth-97      [001] d..1.    12.000400: user_exit: 
           truth-97      [001] .....    12.000401: sys_enter: NR 35 (7ffc, 0, 0, 0, 0, 0)
           truth-97      [001] d..2.    12.000402: sched_switch: prev_comm=truth prev_pid=97 prev_prio=120 prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=120
          <idle>-0       [001] d..2.    12.050402: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=truth next_pid=97 next_prio=120
           truth-97      [001] d..1.    12.050403: user_enter: 
           truth-97      [001] d.Z..    12.060000: nmi_handler: nmi_cpu_backtrace_handler() delta_ns: 100 handled: 1
";

    #[test]
    fn windows_become_breaches() {
        let events: Vec<Event> = TEXT.lines().filter_map(parse).collect();
        assert_eq!(events.len(), 10);
        assert_eq!(events[0].at, 12_000_345_000);
        let log = derive(1, &events);
        let kinds: Vec<_> = log
            .breaches
            .iter()
            .map(|one| (one.cause.kind.as_str(), one.end.as_str()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("call_function_single", "return"),
                ("syscall", "blocked"),
                ("nmi", "return")
            ]
        );
        assert_eq!(
            log.breaches[0].activity[0].name.as_deref(),
            Some("flush_tlb_func")
        );
        assert_eq!(log.breaches[1].cause.nr, Some(35));
        assert_eq!(
            log.breaches[2].cause.name.as_deref(),
            Some("nmi_cpu_backtrace_handler")
        );
    }
}
