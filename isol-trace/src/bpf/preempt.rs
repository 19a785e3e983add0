//! Where the kernel keeps `preempt_count`, which tells a task's own act from that of an
//! interrupt in its time.
//!
//! No helper tells. The count is a variable of each CPU, or a field of one, which [`arch`](crate::arch) names. Its
//! address is in `/proc/kallsyms`, for those who may see addresses.

use isol_trace_common::config::PreemptCount;

use super::btf::KernelTypes;
use crate::arch::{PerCpu, preempt_count};

/// Softirqs being served, hard interrupts and NMIs (`include/linux/preempt.h`, v6.1 to v7.2): bits 8,
/// 16 to 19 and 20 to 23. Bits 9 to 15 only say that softirqs are held off.
const INTERRUPT_BITS: u32 = 0x00ff_0100;
/// The same where disabling interrupts is counted, at bits 16 to 23
/// ("preempt: Introduce `HARDIRQ_DISABLE_BITS`", merged for v7.3): bits 8, 24 to 27 and 28.
const INTERRUPT_BITS_BESIDE_DISABLING: u32 = 0x1f00_0100;
/// What that change brought with it.
const DISABLING_IS_COUNTED: &str = "interrupt_disable_state";

/// The variable of this kernel.
fn variable(types: &KernelTypes) -> PerCpu {
    preempt_count(|structure, path| types.offset_of(structure, path))
}

/// The symbols whose addresses [`locate`] needs.
#[must_use]
pub fn symbols(types: &KernelTypes) -> [&'static str; 2] {
    ["__per_cpu_offset", variable(types).symbol]
}

/// The count, by the addresses of [`symbols`]; [`PreemptCount::UNKNOWN`] where this kernel does not
/// show them.
#[must_use]
pub fn locate(addresses: [Option<u64>; 2], types: &KernelTypes) -> PreemptCount {
    // The table itself is never at 0, save where addresses are hidden.
    let [Some(bases @ 1..), Some(address)] = addresses else {
        return PreemptCount::UNKNOWN;
    };
    PreemptCount {
        bases,
        address: address.wrapping_add(u64::from(variable(types).offset)),
        interrupt_bits: if types.has_structure(DISABLING_IS_COUNTED) {
            INTERRUPT_BITS_BESIDE_DISABLING
        } else {
            INTERRUPT_BITS
        },
        reserved: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_are_used() {
        let types = KernelTypes::none();
        assert_eq!(symbols(&types), ["__per_cpu_offset", "__preempt_count"]);
        let found = locate([Some(0xffff_ffff_82a0_c0e0), Some(0x34ed0)], &types);
        assert_eq!(found.bases, 0xffff_ffff_82a0_c0e0);
        assert_eq!(found.address, 0x34ed0);
        assert_eq!(found.interrupt_bits, INTERRUPT_BITS);
    }

    #[test]
    fn what_is_hidden_or_missing_is_unknown() {
        let types = KernelTypes::none();
        for addresses in [
            [Some(0), Some(0)],
            [Some(0xffff_ffff_82a0_c0e0), None],
            [None, Some(0x34ed0)],
            [None, None],
        ] {
            assert_eq!(locate(addresses, &types), PreemptCount::UNKNOWN);
        }
    }
}
