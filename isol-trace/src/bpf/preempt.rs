//! Where the kernel keeps `preempt_count`, which tells a task's own act from that of an
//! interrupt in its time.
//!
//! No helper tells. On x86 the count is a variable of each CPU: `__preempt_count`, or a field
//! of `pcpu_hot` (`arch/x86/include/asm/current.h`, v6.2 to v6.14). Its address is in
//! `/proc/kallsyms`, for those who may see addresses.

use std::{
    io::{self, BufRead, BufReader},
    path::Path,
};

use isol_trace_common::config::PreemptCount;

use super::btf::KernelTypes;

/// Softirqs being served, hard interrupts and NMIs (`include/linux/preempt.h`, v6.1 to v7.2): bits 8,
/// 16 to 19 and 20 to 23. Bits 9 to 15 only say that softirqs are held off.
const INTERRUPT_BITS: u32 = 0x00ff_0100;
/// The same where disabling interrupts is counted, at bits 16 to 23
/// ("preempt: Introduce `HARDIRQ_DISABLE_BITS`", merged for v7.3): bits 8, 24 to 27 and 28.
const INTERRUPT_BITS_BESIDE_DISABLING: u32 = 0x1f00_0100;
/// What that change brought with it.
const DISABLING_IS_COUNTED: &str = "interrupt_disable_state";

/// Finds the count; [`PreemptCount::UNKNOWN`] where this kernel does not show it.
#[must_use]
pub fn locate(kallsyms: &Path, types: &KernelTypes) -> PreemptCount {
    std::fs::File::open(kallsyms)
        .ok()
        .and_then(|file| find(BufReader::with_capacity(64 * 1024, file), types).ok())
        .flatten()
        .unwrap_or(PreemptCount::UNKNOWN)
}

fn find(input: impl BufRead, types: &KernelTypes) -> io::Result<Option<PreemptCount>> {
    let hot = types.offset_of("pcpu_hot", "preempt_count");
    let (mut bases, mut address) = (None, None);
    for line in input.lines() {
        let line = line?;
        let Some((value, rest)) = line.split_once(' ') else {
            continue;
        };
        // A kind, and a name without a module behind it.
        let name = rest.get(2..).unwrap_or_default();
        let found = match (name, hot) {
            ("__per_cpu_offset", _) => &mut bases,
            ("__preempt_count", None) | ("pcpu_hot", Some(_)) => &mut address,
            _ => continue,
        };
        *found = u64::from_str_radix(value, 16).ok();
        if bases.is_some() && address.is_some() {
            break;
        }
    }
    // The table itself is never at 0, save where addresses are hidden.
    let (Some(bases @ 1..), Some(address)) = (bases, address) else {
        return Ok(None);
    };
    Ok(Some(PreemptCount {
        bases,
        address: address.wrapping_add(u64::from(hot.unwrap_or(0))),
        interrupt_bits: if types.has_structure(DISABLING_IS_COUNTED) {
            INTERRUPT_BITS_BESIDE_DISABLING
        } else {
            INTERRUPT_BITS
        },
        reserved: 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "0000000000000000 A fixed_percpu_data
0000000000034ed0 D __preempt_count
ffffffff82a0c0e0 d __per_cpu_offset_of_another
ffffffff82a0c0e0 D __per_cpu_offset
ffffffffc0201000 t nvme_irq\t[nvme]
";

    fn located(lines: &str) -> Option<PreemptCount> {
        find(lines.as_bytes(), &KernelTypes::none()).unwrap()
    }

    #[test]
    fn both_addresses_are_found() {
        let found = located(LINES).unwrap();
        assert_eq!(found.bases, 0xffff_ffff_82a0_c0e0);
        assert_eq!(found.address, 0x34ed0);
        assert_eq!(found.interrupt_bits, INTERRUPT_BITS);
    }

    #[test]
    fn what_is_hidden_or_missing_is_unknown() {
        let hidden: Vec<String> = LINES
            .lines()
            .map(|line| format!("{:016x}{}", 0, &line[16..]))
            .collect();
        assert_eq!(located(&hidden.join("\n")), None);
        assert_eq!(located("ffffffff82a0c0e0 D __per_cpu_offset\n"), None);
        assert_eq!(located(""), None);
        let nowhere = locate(Path::new("/nowhere"), &KernelTypes::none());
        assert_eq!(nowhere, PreemptCount::UNKNOWN);
    }
}
