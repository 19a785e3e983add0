//! Vectors that nothing in a guest raises: written into the local APIC's command register from user space.
//!
//! The actor sends them to its own CPU, which takes one store. To send one to another
//! CPU takes two, and the kernel may send something of its own between them.
//!
//! Works where user space may map the APIC: `iomem=relaxed` on the kernel's
//! command line, and an APIC that is not in x2APIC mode.

use std::{
    fs,
    os::fd::AsRawFd,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Result;

use super::{
    super::{expect::one, guest::skip, interrupts::Interrupts, sys::Pages},
    Partner, Trigger, realtime_threads,
};

/// A row: name, cause, vector of x86 Linux (`arch/x86/include/asm/irq_vectors.h`, 6.1 to 7.2), and
/// the line of `/proc/interrupts` that says that the kernel was built with that vector.
macro_rules! vector {
    ($name:literal, $kind:literal, $vector:literal, $line:expr) => {
        Trigger {
            name: $name,
            about: concat!("vector ", stringify!($vector), ", sent by hand"),
            act: |actor| {
                let apic = Apic::map()?;
                let settle = std::time::Duration::from_millis(200);
                actor.perform_after(|| (), settle, || apic.raise_here($vector))
            },
            partner: Some(|_| possible($line)),
            expect: |scenario| {
                let vector = one($kind).end("return");
                Ok([vec![vector], realtime_threads(scenario)].concat())
            },
        }
    };
}

/// The rows.
pub const ALL: &[Trigger] = &[
    vector!("inject_reschedule", "reschedule", 0xfd, Some("RES")),
    vector!("inject_irq_work", "irq_work", 0xf6, Some("IWI")),
    vector!("inject_platform_ipi", "platform_ipi", 0xf7, None),
    vector!("inject_thermal", "thermal", 0xfa, Some("TRM")),
    vector!("inject_threshold", "threshold", 0xf9, Some("THR")),
    vector!("inject_deferred_error", "deferred_error", 0xf4, Some("DFR")),
    vector!("inject_apic_error", "apic_error", 0xfe, None),
    // Not 0xff: the kernel does not acknowledge that one, and a vector that was
    // really raised would block the CPU for good (arch/x86/kernel/irq.c). This one
    // is Hyper-V's, free elsewhere, and free system vectors count as spurious.
    vector!("inject_spurious", "spurious", 0xed, None),
];

/// Where every x86 CPU finds its own APIC.
const APIC: i64 = 0xfee0_0000;
const VERSION: usize = 0x30;
const COMMAND: usize = 0x300;
const ASSERT: u32 = 1 << 14;
/// To the CPU that writes it (Intel SDM volume 3, "Interrupt Command Register").
const SELF: u32 = 1 << 18;

/// The driver's part: whether this can be done here.
fn possible(line: Option<&str>) -> Result<Box<dyn Partner>> {
    if let Some(line) = line
        && !Interrupts::read()?.has(line)
    {
        return skip(format!("this kernel is built without the vector of {line}"));
    }
    let version = Apic::map()?.register(VERSION).load(Ordering::Relaxed);
    if version == 0 || version == u32::MAX {
        return skip("the local APIC is in x2APIC mode");
    }
    Ok(Box::new(Nothing))
}

#[derive(Debug)]
struct Nothing;

impl Partner for Nothing {
    fn act(&mut self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Apic {
    registers: Pages,
}

impl Apic {
    fn map() -> Result<Self> {
        let memory = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/mem");
        let Ok(memory) = memory else {
            return skip("this kernel has no /dev/mem");
        };
        let Ok(registers) = Pages::device(memory.as_raw_fd(), APIC) else {
            return skip("the local APIC cannot be mapped (iomem=relaxed on the command line)");
        };
        Ok(Self { registers })
    }

    fn raise_here(&self, vector: u32) {
        self.register(COMMAND)
            .store(vector | ASSERT | SELF, Ordering::Relaxed);
    }

    fn register(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `offset` is one of the constants above, aligned and inside the page.
        let address = unsafe { self.registers.start().as_ptr().add(offset) };
        // SAFETY: a device register of four bytes, mapped as long as `self` lives.
        unsafe { AtomicU32::from_ptr(address.cast()) }
    }
}
