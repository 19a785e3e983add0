//! How each cause is made.

use std::{
    fs,
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Cause, Kept, busy::Busy, network, shared::Shared};
use crate::truth::{
    files::read,
    guest::{Guest, Setting, skip},
    interrupts::Interrupts,
    process,
    sys::{self, Ports},
    tracer::fresh_path,
};

/// How long an event of the firmware may take to come.
const LIMIT: Duration = Duration::from_secs(20);

/// Every cause.
pub(super) const CAUSES: &[Cause] = &[
    Cause {
        rule: "mce-polling",
        test: "remedy_mce_polling",
        about: "no CPU polls for machine checks any more",
        prepare: |_| {
            let path = "/sys/devices/system/machinecheck/machinecheck0/check_interval";
            Ok(keep(Setting::change(path, "1")?))
        },
    },
    Cause {
        rule: "device-irq",
        test: "remedy_device_irq",
        about: "the serial port's interrupt is moved away",
        prepare: serial,
    },
    Cause {
        rule: "irq-timer",
        test: "remedy_irq_timer",
        about: "no interrupt that was here leaves a timer behind",
        prepare: serial,
    },
    Cause {
        rule: "threaded-irq",
        test: "remedy_threaded_irq",
        about: "the thread of an interrupt follows it away",
        prepare: threaded,
    },
    Cause {
        rule: "kernel-thread",
        test: "remedy_kernel_thread",
        about: "a kernel thread that looks twice a second whether there is memory to compact is moved",
        prepare: |guest| {
            let cpu = guest.second().context("one watched CPU only")?;
            let often = Setting::change("/proc/sys/vm/compaction_proactiveness", "20")?;
            for thread in kernel_threads("kcompactd0")? {
                sys::pin(thread, &[cpu])?;
            }
            Ok(keep(often))
        },
    },
    Cause {
        rule: "tlb-ksm",
        test: "remedy_ksm",
        about: "what is merged is parted, and no more is merged",
        prepare: |guest| {
            let pace = Setting::change("/sys/kernel/mm/ksm/sleep_millisecs", "50")?;
            let on = Setting::change("/sys/kernel/mm/ksm/run", "1")?;
            let pages = Shared::spun_on(guest.cpu(), libc::MADV_MERGEABLE)?;
            Ok(Box::new(move || {
                let _ = (&on, &pace);
                // Parted by a write, and equal again.
                pages.fill();
                Ok(())
            }))
        },
    },
    Cause {
        rule: "tlb-thp-collapse",
        test: "remedy_thp_collapse",
        about: "khugepaged collapses nothing any more",
        prepare: |guest| {
            let folder = "/sys/kernel/mm/transparent_hugepage";
            let on = Setting::change(&format!("{folder}/enabled"), "always")?;
            let pace =
                Setting::change(&format!("{folder}/khugepaged/scan_sleep_millisecs"), "100")?;
            let again =
                Setting::change(&format!("{folder}/khugepaged/alloc_sleep_millisecs"), "100")?;
            let cpu = guest.cpu();
            let mut pages = None;
            Ok(Box::new(move || {
                let _ = (&on, &pace, &again);
                // Small pages first: made huge at the first touch there would be nothing to collapse.
                if pages.as_ref().is_none_or(Shared::is_old) {
                    pages = None;
                    let fresh = Shared::spun_on(cpu, libc::MADV_NOHUGEPAGE)?;
                    fresh.advise(libc::MADV_HUGEPAGE)?;
                    pages = Some(fresh);
                }
                Ok(())
            }))
        },
    },
    Cause {
        rule: "tlb-numa-balancing",
        test: "remedy_numa_balancing",
        about: "no rights are taken away to see who touches what",
        prepare: balanced,
    },
    Cause {
        rule: "lru-drain",
        test: "remedy_lru_drain",
        about: "khugepaged has no CPU hand its pages on any more",
        prepare: |guest| {
            let folder = "/sys/kernel/mm/transparent_hugepage";
            let on = Setting::change(&format!("{folder}/enabled"), "always")?;
            let pace =
                Setting::change(&format!("{folder}/khugepaged/scan_sleep_millisecs"), "100")?;
            // Without a process that has some of them khugepaged does not look.
            let huge = sys::Pages::private(4 << 20 >> 12)?;
            sys::advise(&huge, libc::MADV_HUGEPAGE)?;
            Ok(keep((on, pace, huge, Busy::touching(guest.cpu())?)))
        },
    },
    Cause {
        rule: "soft-lockup-watchdog",
        test: "remedy_soft_lockup_watchdog",
        about: "the lockup detector looks at housekeeping CPUs only",
        prepare: |guest| {
            let all: Vec<_> = guest.watched.iter().chain(&guest.housekeeping).collect();
            let all: Vec<_> = all.iter().map(ToString::to_string).collect();
            // It looks every two fifths of that, in seconds (`set_sample_period()`, kernel/watchdog.c, v6.12). Where it
            // finds a CPU idle, or in the kernel already, that is no breach: two looks in a recording can
            // both miss.
            let often = Setting::change("/proc/sys/kernel/watchdog_thresh", "3")?;
            let cpus = Setting::change("/proc/sys/kernel/watchdog_cpumask", &all.join(","))?;
            let on = Setting::change("/proc/sys/kernel/watchdog", "1")?;
            Ok(keep((on, cpus, often)))
        },
    },
    Cause {
        rule: "rcu-callbacks",
        test: "remedy_rcu_callbacks",
        about: "the threads that run RCU's callbacks are moved",
        prepare: callbacks,
    },
    Cause {
        rule: "unbound-workqueue",
        test: "remedy_unbound_workqueue",
        about: "work that belongs to no CPU is done elsewhere",
        prepare: unbound,
    },
    Cause {
        rule: "net-rps",
        test: "remedy_net_rps",
        about: "packets are not steered to their receiver's CPU",
        prepare: network::steered,
    },
];

/// Nothing has to be done again; `what` makes the cause while it lives.
pub(super) fn keep<T: 'static>(what: T) -> Kept {
    Box::new(move || {
        let _ = &what;
        Ok(())
    })
}

/// Kernel threads whose names begin so; at least one.
fn kernel_threads(name: &str) -> Result<Vec<u32>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(number) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        if read(format!("/proc/{number}/comm")).is_ok_and(|comm| comm.starts_with(name)) {
            threads.push(number);
        }
    }
    if threads.is_empty() {
        return skip(format!("this kernel has no {name}"));
    }
    Ok(threads)
}

/// The threads that run the callbacks of isolated CPUs, bound to one of them, and callbacks for them: the
/// other one makes and removes a file again and again.
fn callbacks(guest: &Guest) -> Result<Kept> {
    let cpu = guest.second().context("one watched CPU only")?;
    for thread in kernel_threads("rcuo")? {
        sys::pin(thread, &[cpu])?;
    }
    let path = fresh_path("callbacks");
    let busy = Busy::on(guest.cpu(), Duration::from_millis(40), move || {
        let _ = fs::write(&path, "");
        let _ = fs::remove_file(&path);
    })?;
    Ok(keep(busy))
}

/// Work that any CPU could do is left to a watched one alone. What is written to a pseudoterminal is handed
/// to its other end by such work (`tty_insert_flip_string_and_push_buffer`, `drivers/tty/tty_buffer.c`, v6.12).
fn unbound(guest: &Guest) -> Result<Kept> {
    let cpu = guest.second().context("one watched CPU only")?;
    let mask = format!("{:x}", 1 << cpu);
    let here = Setting::change("/sys/devices/virtual/workqueue/cpumask", &mask)?;
    let Ok(mut terminal) = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/ptmx")
    else {
        return skip("this guest has no /dev/ptmx");
    };
    Ok(Box::new(move || {
        let _ = &here;
        terminal.write_all(b"x").context("/dev/ptmx")
    }))
}

/// Memory of a process that runs on the watched CPU, touched by a thread elsewhere. One memory node is enough:
/// who turns the balancing on is not asked for a second one (`sysctl_numa_balancing()`, kernel/sched/core.c, v6.12).
fn balanced(guest: &Guest) -> Result<Kept> {
    const PAGES: usize = 512;
    let folder = "/sys/kernel/debug/sched/numa_balancing";
    let on = Setting::change("/proc/sys/kernel/numa_balancing", "1")?;
    let often = Setting::change(&format!("{folder}/scan_period_min_ms"), "100")?;
    // Where all memory is near, the pace slows down to this (`update_task_scan_period()`, kernel/sched/fair.c, v6.12).
    let steadily = Setting::change(&format!("{folder}/scan_period_max_ms"), "100")?;
    let pages = sys::Pages::private(PAGES)?;
    sys::advise(&pages, libc::MADV_NOHUGEPAGE)?;
    // A tick finds that the thread has run for long enough, and a watched CPU has no tick.
    let touching = Busy::on(guest.helper(), Duration::from_millis(10), move || {
        (0..PAGES).for_each(|page| pages.write(page));
        thread::sleep(Duration::from_millis(30));
    })?;
    let alone = Busy::computing(guest.cpu())?;
    Ok(keep((on, often, steadily, touching, alone)))
}

/// The first serial port's interrupt on a watched CPU whose task is alone; each act has it occur. A second
/// task would keep the tick on, which would then be what expires.
fn serial(guest: &Guest) -> Result<Kept> {
    let Ok(mut port) = fs::OpenOptions::new().write(true).open("/dev/ttyS0") else {
        return skip("this machine has no /dev/ttyS0");
    };
    let Some(irq) = Interrupts::read()?.irq_of("ttyS0") else {
        return skip("ttyS0 has no interrupt");
    };
    let path = format!("/proc/irq/{irq}/smp_affinity_list");
    let cpu = guest.second().context("one watched CPU only")?;
    let affinity = Setting::change(&path, &cpu.to_string())?;
    Ok(Box::new(move || {
        let _ = &affinity;
        port.write_all(b"\r").context("ttyS0")
    }))
}

/// The thread of the interrupt by which the machine's firmware is told of events, on a watched CPU;
/// the interrupt itself comes elsewhere. Each act has the power management timer interrupt, which
/// it does where it has run over since the last time, every 2.3 s (half of 24 bits at 3.58 MHz).
/// Nobody wants to hear of that, and the kernel turns it off each time
/// (`acpi_ev_fixed_event_dispatch`, drivers/acpi/acpica/evevent.c, v6.12).
///
/// Where somebody has moved the interrupt before, as the doctor's script does, the thread goes there when it next runs
/// (`irq_thread_check_affinity`, kernel/irq/manage.c, v6.12): so it is put on its CPU when it has run.
fn threaded(guest: &Guest) -> Result<Kept> {
    let cpu = guest.second().context("one watched CPU only")?;
    let ports = read("/proc/ioports")?;
    let Some(events) = first_port(&ports, "ACPI PM1a_EVT_BLK") else {
        return skip("this machine has no events of ACPI");
    };
    // What has happened, and what of it interrupts (ACPI 6.5, 4.8.3.1).
    let (enabled, timer) = (2, 1);
    let ports = Ports::open(events, 4).context("ioperm")?;
    let act = move || ports.write(enabled, ports.read(enabled) | timer);
    for thread in kernel_threads("irq/9-acpi")? {
        let runs = || process::status(&format!("/proc/{thread}/status"), "voluntary_ctxt_switches");
        let before = runs()?;
        let begun = Instant::now();
        while runs()? == before {
            ensure!(begun.elapsed() < LIMIT, "no event of ACPI comes");
            act();
            thread::sleep(Duration::from_millis(50));
        }
        sys::pin(thread, &[cpu])?;
    }
    Ok(Box::new(move || {
        act();
        Ok(())
    }))
}

/// The first of somebody's ports, in the text of `/proc/ioports`.
fn first_port(ports: &str, name: &str) -> Option<u16> {
    let mut lines = ports.lines().filter_map(|line| line.split_once(" : "));
    let (range, _) = lines.find(|(_, of)| of.trim() == name)?;
    let (first, _) = range.trim().split_once('-')?;
    u16::from_str_radix(first, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_names() {
        let ports = "0000-0cf7 : PCI Bus 0000:00\n  0600-0603 : ACPI PM1a_EVT_BLK\n";
        assert_eq!(first_port(ports, "ACPI PM1a_EVT_BLK"), Some(0x600));
        assert_eq!(first_port(ports, "ACPI"), None);
    }
}
