//! Where the running kernel keeps the fields that the programs read.
//!
//! A small walker over the kernel's own type information
//! (`Documentation/bpf/btf.rst`). Aya's is private, and programs written in Rust
//! carry no relocations: see [`isol_trace_common::config::Offsets`]. Nothing is kept
//! once the offsets are known: the type information is several megabytes.

use std::{collections::HashMap, path::Path};

use isol_trace_common::config::{ABSENT, Offsets};

use crate::arch::{REGISTERS, TRAP_NUMBER};

/// What keeps the type information from being used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error(
        "cannot read the kernel's type information at {path}: {source}{}",
        advice(source)
    )]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what the format says.
    #[error("the kernel's type information at {path} is malformed: {what}")]
    Malformed {
        /// Which file.
        path: String,
        /// Where it deviates.
        what: &'static str,
    },
}

/// What to do where the file cannot be read.
fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "; isol-trace needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"
        }
        std::io::ErrorKind::OutOfMemory => "; a limit on memory may be too low (`ulimit -a`)",
        _ => "",
    }
}

const MAGIC: u16 = 0xeb9f;

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// The kernel's types, indexed as far as isol-trace asks.
pub struct KernelTypes {
    data: Vec<u8>,
    strings: usize,
    /// Offset of each type in `data`; type numbers start at 1.
    types: Vec<u32>,
    structs: HashMap<Vec<u8>, u32>,
    tracepoints: std::collections::HashSet<Vec<u8>>,
}

impl KernelTypes {
    /// Reads the running kernel's.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let data = std::fs::read(path).map_err(|source| BtfError::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(data).map_err(|what| BtfError::Malformed {
            path: path.display().to_string(),
            what,
        })
    }

    /// The types of a kernel that has none, for tests.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            data: Vec::new(),
            strings: 0,
            types: vec![0],
            structs: HashMap::new(),
            tracepoints: std::collections::HashSet::new(),
        }
    }

    fn parse(data: Vec<u8>) -> Result<Self, &'static str> {
        let word = |at: usize| word(&data, at).ok_or("it ends inside its header");
        if data.get(..2) != Some(MAGIC.to_le_bytes().as_slice()) {
            return Err("it does not begin with the magic number of little-endian BTF");
        }
        let header = word(4)? as usize;
        let first = header + word(8)? as usize;
        let end = first + word(12)? as usize;
        let strings = header + word(16)? as usize;
        let mut all = Self {
            strings,
            types: vec![0],
            structs: HashMap::new(),
            tracepoints: std::collections::HashSet::new(),
            data,
        };
        let mut at = first;
        while at < end {
            let number =
                u32::try_from(all.types.len()).map_err(|_unused| "it has too many types")?;
            all.types
                .push(u32::try_from(at).map_err(|_unused| "it is too long")?);
            let info = word_or(&all.data, at + 4)?;
            let name = all.name(word_or(&all.data, at)?).to_vec();
            let count = (info & 0xffff) as usize;
            let extra = match info >> 24 & 0x1f {
                kind::INT | kind::VAR | kind::DECL_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT => {
                    if !name.is_empty() {
                        all.structs.entry(name).or_insert(number);
                    }
                    12 * count
                }
                kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * count,
                kind::ENUM | kind::FUNC_PROTO => 8 * count,
                kind::TYPEDEF => {
                    if let Some(tracepoint) = name.strip_prefix(b"btf_trace_") {
                        all.tracepoints.insert(tracepoint.to_vec());
                    }
                    0
                }
                _ => 0,
            };
            at += 12 + extra;
        }
        Ok(all)
    }

    fn name(&self, offset: u32) -> &[u8] {
        let start = self.strings + offset as usize;
        let rest = self.data.get(start..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(rest.len());
        &rest[..end]
    }

    /// Whether the kernel has this tracepoint.
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoints.contains(name.as_bytes())
    }

    /// The number of this function's type; `None` where the kernel has none, or inlines it everywhere.
    #[must_use]
    pub fn function_number(&self, name: &str) -> Option<u32> {
        let is_it = |&at: &u32| {
            let at = at as usize;
            let info = word(&self.data, at + 4).unwrap_or(0);
            info >> 24 & 0x1f == kind::FUNC
                && word(&self.data, at).is_some_and(|text| self.name(text) == name.as_bytes())
        };
        // Number 0 is `void`.
        let place = self.types.iter().skip(1).position(is_it)?;
        u32::try_from(place + 1).ok()
    }

    /// Whether the kernel has this structure.
    #[must_use]
    pub fn has_structure(&self, name: &str) -> bool {
        self.structs.contains_key(name.as_bytes())
    }

    /// Byte offset of a field, such as `thread.trap_nr` in `task_struct`; `None` where
    /// this kernel has none. Anonymous structs and unions on the way are looked through.
    #[must_use]
    pub fn offset_of(&self, structure: &str, path: &str) -> Option<u32> {
        let mut within = *self.structs.get(structure.as_bytes())?;
        let mut offset = 0;
        for field in path.split('.') {
            let (at, next) = self.member(self.resolve(within)?, field.as_bytes(), 0)?;
            offset += at;
            within = next;
        }
        Some(offset)
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut number: u32) -> Option<u32> {
        for _ in 0..32 {
            let at = *self.types.get(number as usize)? as usize;
            match word(&self.data, at + 4)? >> 24 & 0x1f {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    number = word(&self.data, at + 8)?;
                }
                _ => return Some(number),
            }
        }
        None
    }

    fn member(&self, number: u32, field: &[u8], depth: u32) -> Option<(u32, u32)> {
        if number == 0 || depth > 8 {
            return None;
        }
        let at = *self.types.get(number as usize)? as usize;
        let info = word(&self.data, at + 4)?;
        if !matches!(info >> 24 & 0x1f, kind::STRUCT | kind::UNION) {
            return None;
        }
        let bitfields = info >> 31 != 0;
        for index in 0..(info & 0xffff) as usize {
            let member = at + 12 + 12 * index;
            let name = self.name(word(&self.data, member)?);
            let kind = word(&self.data, member + 4)?;
            let bits = word(&self.data, member + 8)?;
            let bits = if bitfields { bits & 0x00ff_ffff } else { bits };
            if name == field {
                return Some((bits / 8, kind));
            }
            if name.is_empty()
                && let Some((inner, found)) = self.member(self.resolve(kind)?, field, depth + 1)
            {
                return Some((bits / 8 + inner, found));
            }
        }
        None
    }

    /// Everything the programs ask for.
    #[must_use]
    pub fn offsets(&self) -> Offsets {
        let at = |structure: &str, path: &str| self.offset_of(structure, path).unwrap_or(ABSENT);
        let regs = |path: &str| at("pt_regs", path);
        Offsets {
            regs_ip: regs(REGISTERS.ip),
            regs_sp: regs(REGISTERS.sp),
            regs_bp: regs(REGISTERS.frame),
            regs_flags: regs(REGISTERS.flags),
            regs_number: regs(REGISTERS.number),
            regs_result: regs(REGISTERS.result),
            regs_args: REGISTERS.args.map(regs),
            regs_syscall: REGISTERS.syscall.map(regs),
            task_pid: at("task_struct", "pid"),
            task_tgid: at("task_struct", "tgid"),
            task_comm: at("task_struct", "comm"),
            task_cpu: at("task_struct", "thread_info.cpu"),
            task_flags: at("task_struct", "flags"),
            task_trap_number: at("task_struct", TRAP_NUMBER),
            timer_function: at("timer_list", "function"),
            hrtimer_function: at("hrtimer", "function"),
            work_function: at("work_struct", "func"),
            irqaction_handler: at("irqaction", "handler"),
            siginfo_code: at("kernel_siginfo", "si_code"),
            sigaction_handler: at("k_sigaction", "sa.sa_handler"),
            task_signal: at("task_struct", "signal"),
            signal_exit_code: at("signal_struct", "group_exit_code"),
            signal_live: at("signal_struct", "live.counter"),
            task_start_time: at("task_struct", "start_time"),
            pwq_pool: at("pool_workqueue", "pool"),
            pool_cpu: at("worker_pool", "cpu"),
            timer_flags: at("timer_list", "flags"),
            hrtimer_base: at("hrtimer", "base"),
            clock_base_cpu_base: at("hrtimer_clock_base", "cpu_base"),
            hrtimer_expires: at("hrtimer", "node.expires"),
            clock_base_offset: at("hrtimer_clock_base", "offset"),
            cpu_base_cpu: at("hrtimer_cpu_base", "cpu"),
            csd_function: at("__call_single_data", "func"),
            task_real_parent: at("task_struct", "real_parent"),
            perf_event_timer: at("perf_event", "hw.hrtimer"),
            perf_event_owner: at("perf_event", "owner"),
            perf_event_parent: at("perf_event", "parent"),
        }
    }
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn word_or(data: &[u8], at: usize) -> Result<u32, &'static str> {
    word(data, at).ok_or("it ends inside a type")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds type information by hand: header, types, strings.
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Builder {
        fn new() -> Self {
            Self {
                types: Vec::new(),
                strings: vec![0],
            }
        }

        fn string(&mut self, text: &str) -> u32 {
            if text.is_empty() {
                return 0;
            }
            let at = self.strings.len();
            self.strings.extend_from_slice(text.as_bytes());
            self.strings.push(0);
            u32::try_from(at).unwrap()
        }

        fn push(&mut self, words: &[u32]) {
            for word in words {
                self.types.extend_from_slice(&word.to_le_bytes());
            }
        }

        fn kind(&mut self, name: &str, kind: u32, count: u32, size: u32) {
            let name = self.string(name);
            self.push(&[name, kind << 24 | count, size]);
        }

        fn member(&mut self, name: &str, kind: u32, bits: u32) {
            let name = self.string(name);
            self.push(&[name, kind, bits]);
        }

        fn build(self) -> Vec<u8> {
            let types = u32::try_from(self.types.len()).unwrap();
            let strings = u32::try_from(self.strings.len()).unwrap();
            let mut data = Vec::new();
            data.extend_from_slice(&MAGIC.to_le_bytes());
            data.extend_from_slice(&[1, 0]);
            for word in [24, 0, types, types, strings] {
                data.extend_from_slice(&word.to_le_bytes());
            }
            data.extend_from_slice(&self.types);
            data.extend_from_slice(&self.strings);
            data
        }
    }

    fn sample() -> Vec<u8> {
        let mut all = Builder::new();
        all.kind("int", kind::INT, 0, 4); // 1
        all.push(&[32]);
        all.kind("inner", kind::STRUCT, 2, 8); // 2
        all.member("first", 1, 0);
        all.member("second", 1, 32);
        all.kind("inner_t", kind::TYPEDEF, 0, 2); // 3
        all.kind("", kind::UNION, 2, 8); // 4
        all.member("either", 1, 0);
        all.member("or", 3, 0);
        all.kind("outer", kind::STRUCT, 3, 24); // 5
        all.member("head", 1, 0);
        all.member("", 4, 64);
        all.member("tail", 3, 128);
        all.kind("btf_trace_user_exit", kind::TYPEDEF, 0, 1); // 6
        all.build()
    }

    #[test]
    fn fields_are_found_through_typedefs_and_anonymous_members() {
        let types = KernelTypes::parse(sample()).unwrap();
        assert_eq!(types.offset_of("outer", "head"), Some(0));
        assert_eq!(types.offset_of("outer", "either"), Some(8));
        assert_eq!(types.offset_of("outer", "or.second"), Some(12));
        assert_eq!(types.offset_of("outer", "tail.second"), Some(20));
        assert_eq!(types.offset_of("outer", "missing"), None);
        assert_eq!(types.offset_of("missing", "head"), None);
        assert!(types.has_tracepoint("user_exit"));
        assert!(!types.has_tracepoint("user_enter"));
        assert!(types.has_structure("inner") && !types.has_structure("inner_t"));
    }

    #[test]
    fn a_cut_or_foreign_file_is_refused() {
        let whole = sample();
        assert!(KernelTypes::parse(whole[..20].to_vec()).is_err());
        assert!(KernelTypes::parse(b"\x7fELF".to_vec()).is_err());
        let mut cut = whole;
        cut.truncate(60);
        assert!(KernelTypes::parse(cut).is_err());
    }

    #[test]
    fn an_absent_field_is_an_absent_value() {
        let types = KernelTypes::parse(sample()).unwrap();
        assert_eq!(types.offsets(), Offsets::UNKNOWN);
    }
}
