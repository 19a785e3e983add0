//! Ports of the machine's devices.

use std::{arch::asm, io, marker::PhantomData};

use super::check;

/// Some ports of two bytes each, which this thread may use.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    /// The permission is the thread's own.
    of_thread: PhantomData<*const ()>,
}

impl Ports {
    /// Asks for so many ports from this one on (ioperm(2)).
    pub fn open(first: u16, count: u16) -> io::Result<Self> {
        // SAFETY: plain numbers.
        check(unsafe { libc::ioperm(first.into(), count.into(), 1) }.into())?;
        Ok(Self {
            first,
            of_thread: PhantomData,
        })
    }

    /// Reads a port, by its distance from the first.
    #[must_use]
    pub fn read(&self, offset: u16) -> u16 {
        let port = self.first + offset;
        let value: u16;
        // SAFETY: one read of a port, for which a thread that has no permission gets a signal.
        unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack)) };
        value
    }

    /// Writes to a port, by its distance from the first.
    pub fn write(&self, offset: u16, value: u16) {
        let port = self.first + offset;
        // SAFETY: one write to a port, for which a thread that has no permission gets a signal.
        unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack)) };
    }
}
