//! Why the kernel was entered: the closed list of causes.

/// Declares an enum of wire words: number, variant and the word that logs show.
macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $number:literal, $word:literal;)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$inner])* $variant = $number,)* }

        impl $name {
            /// Every word, in wire order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as logs, screens and documents show it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The word behind a wire number; `None` for a number that this version does not know.
            #[must_use]
            pub const fn from_wire(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The word that `text` spells; `None` where it spells none.
            #[must_use]
            pub fn from_word(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Why the kernel was entered. Exactly one per breach.
    Cause {
        /// Nothing named it: an exception that the kernel fixed up silently, or a vector without a tracepoint.
        Unknown = 0, "unknown";
        /// A system call of the task itself.
        Syscall = 1, "syscall";
        /// A page fault of the task itself.
        PageFault = 2, "page_fault";
        /// Another exception of the task itself, known by its trap number.
        Exception = 3, "exception";
        /// A device's interrupt.
        DeviceIrq = 4, "device_irq";
        /// The local APIC timer.
        LocalTimer = 5, "local_timer";
        /// The reschedule IPI.
        Reschedule = 6, "reschedule";
        /// The call-function IPI sent to several CPUs.
        CallFunction = 7, "call_function";
        /// The call-function IPI sent to one CPU.
        CallFunctionSingle = 8, "call_function_single";
        /// The `irq_work` self-interrupt.
        IrqWork = 9, "irq_work";
        /// The x86 platform IPI.
        PlatformIpi = 10, "platform_ipi";
        /// The thermal vector.
        Thermal = 11, "thermal";
        /// The machine-check threshold vector.
        Threshold = 12, "threshold";
        /// The deferred-error vector.
        DeferredError = 13, "deferred_error";
        /// The local APIC's error vector.
        ApicError = 14, "apic_error";
        /// The local APIC's spurious vector.
        Spurious = 15, "spurious";
        /// A non-maskable interrupt that hit user mode.
        Nmi = 16, "nmi";
        /// A machine check.
        MachineCheck = 17, "machine_check";
    }
}

impl Cause {
    /// A vector by which cross-calls arrive.
    #[must_use]
    pub const fn is_call(self) -> bool {
        matches!(self, Self::CallFunction | Self::CallFunctionSingle)
    }

    /// A vector of the local APIC, other than a device's.
    #[must_use]
    pub const fn is_vector(self) -> bool {
        match self {
            Self::LocalTimer
            | Self::Reschedule
            | Self::CallFunction
            | Self::CallFunctionSingle
            | Self::IrqWork
            | Self::PlatformIpi
            | Self::Thermal
            | Self::Threshold
            | Self::DeferredError
            | Self::ApicError
            | Self::Spurious => true,
            Self::Unknown
            | Self::Syscall
            | Self::PageFault
            | Self::Exception
            | Self::DeviceIrq
            | Self::Nmi
            | Self::MachineCheck => false,
        }
    }
}

/// Number of slots that a table indexed by cause needs, a power of two so that an index can be masked.
pub const CAUSE_SLOTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_lead_back_to_their_cause() {
        for &cause in Cause::ALL {
            assert_eq!(Cause::from_wire(cause as u8), Some(cause));
            assert_eq!(Cause::from_word(cause.word()), Some(cause));
            assert!((cause as usize) < CAUSE_SLOTS);
        }
        assert_eq!(
            Cause::ALL.len(),
            18,
            "the contract's list has eighteen causes"
        );
        assert_eq!(Cause::from_wire(18), None);
        assert_eq!(Cause::from_word("sysenter"), None);
    }
}
