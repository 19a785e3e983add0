//! Names of x86 exceptions, by trap number.
//!
//! Numbers: `arch/x86/include/asm/trapnr.h`; they are the processor's and do not
//! change. Words: the comments there, in the contract's spelling. arm64 has no trap numbers; its
//! exceptions come without one.

/// The name of an exception; `None` for a number that the processor does not define.
#[must_use]
pub const fn exception_name(trap: u32) -> Option<&'static str> {
    Some(match trap {
        0 => "divide_error",
        1 => "debug",
        2 => "nmi",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bounds",
        6 => "invalid_opcode",
        7 => "device_not_available",
        8 => "double_fault",
        9 => "coprocessor_segment_overrun",
        10 => "invalid_tss",
        11 => "segment_not_present",
        12 => "stack_segment",
        13 => "general_protection",
        14 => "page_fault",
        15 => "spurious",
        16 => "x87_fpu",
        17 => "alignment_check",
        18 => "machine_check",
        19 => "simd_fpu",
        20 => "virtualization",
        21 => "control_protection",
        29 => "vmm_communication",
        // Not the processor's: the kernel's own number for a failed return to user mode.
        32 => "iret_error",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_the_processors_numbers() {
        assert_eq!(exception_name(0), Some("divide_error"));
        assert_eq!(exception_name(3), Some("breakpoint"));
        assert_eq!(exception_name(6), Some("invalid_opcode"));
        assert_eq!(exception_name(13), Some("general_protection"));
        assert_eq!(exception_name(19), Some("simd_fpu"));
        assert_eq!(exception_name(22), None);
        assert_eq!(exception_name(u32::MAX), None);
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<_> = (0..64).filter_map(exception_name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
