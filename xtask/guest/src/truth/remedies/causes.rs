//! How each cause is made.

use std::{fs, io::Write as _, ptr::NonNull, thread};

use anyhow::{Context, Result, ensure};

use super::{Cause, Kept};
use crate::truth::{
    guest::{Guest, Setting, read, skip},
    interrupts::Interrupts,
    sys,
};

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
        prepare: |guest| serial(guest),
    },
    Cause {
        rule: "kernel-thread",
        test: "remedy_kernel_thread",
        about: "a kernel thread that looks twice a second whether there is memory to compact is moved",
        prepare: |guest| {
            let thread = kernel_thread("kcompactd0")?;
            let often = Setting::change("/proc/sys/vm/compaction_proactiveness", "20")?;
            sys::pin(thread, &[guest.second().context("one watched CPU only")?])?;
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
];

/// Nothing has to be done again; `what` makes the cause while it lives.
fn keep<T: 'static>(what: T) -> Kept {
    Box::new(move || {
        let _ = &what;
        Ok(())
    })
}

/// The thread of a name.
fn kernel_thread(name: &str) -> Result<u32> {
    for entry in fs::read_dir("/proc")? {
        let Ok(number) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        if read(format!("/proc/{number}/comm")).is_ok_and(|comm| comm == name) {
            return Ok(number);
        }
    }
    skip(format!("this kernel has no {name}"))
}

/// The first serial port's interrupt on the watched CPU; each act has it occur.
fn serial(guest: &Guest) -> Result<Kept> {
    let Ok(mut port) = fs::OpenOptions::new().write(true).open("/dev/ttyS0") else {
        return skip("this machine has no /dev/ttyS0");
    };
    let Some(irq) = Interrupts::read()?.irq_of("ttyS0") else {
        return skip("ttyS0 has no interrupt");
    };
    let path = format!("/proc/irq/{irq}/smp_affinity_list");
    let affinity = Setting::change(&path, &guest.cpu().to_string())?;
    Ok(Box::new(move || {
        let _ = &affinity;
        port.write_all(b"\r").context("ttyS0")
    }))
}

/// Pages that are all the same, of a process that runs on a watched CPU: a thread of ours spins there.
struct Shared {
    start: NonNull<u8>,
    made: u64,
    stop: std::sync::Arc<std::sync::atomic::AtomicU32>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Three huge pages: whatever the alignment, two whole ones are in it.
const BYTES: usize = 6 << 20;
const PAGE: usize = 4096;

impl Shared {
    fn spun_on(cpu: u32, advice: i32) -> Result<Self> {
        let (rights, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping, which nothing else refers to.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), BYTES, rights, kind, -1, 0) };
        ensure!(
            start != libc::MAP_FAILED,
            "{}",
            std::io::Error::last_os_error()
        );
        let stop = std::sync::Arc::default();
        let thread = thread::Builder::new().name("spinner".into()).spawn({
            let stop = std::sync::Arc::clone(&stop);
            move || {
                if sys::pin(0, &[cpu]).is_ok() {
                    sys::spin_until(&stop, 1);
                }
            }
        })?;
        let pages = Self {
            start: NonNull::new(start.cast()).context("a mapping at 0")?,
            made: sys::now(),
            stop,
            thread: Some(thread),
        };
        pages.advise(advice)?;
        pages.fill();
        Ok(pages)
    }

    fn advise(&self, advice: i32) -> Result<()> {
        // SAFETY: the mapping is ours.
        sys::check(unsafe { libc::syscall(libc::SYS_madvise, self.start.as_ptr(), BYTES, advice) })
            .context("madvise")?;
        Ok(())
    }

    fn fill(&self) {
        for page in (0..BYTES).step_by(PAGE) {
            // SAFETY: inside of the mapping.
            let place = unsafe { self.start.add(page) };
            // SAFETY: the mapping is writable, and nobody else uses it.
            unsafe { place.write_volatile(7) };
        }
    }

    /// Long enough for khugepaged to have been there.
    fn is_old(&self) -> bool {
        sys::now() - self.made > 2_500_000_000
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.store(1, std::sync::atomic::Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // SAFETY: the mapping is ours, and nobody uses it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), BYTES) };
    }
}
