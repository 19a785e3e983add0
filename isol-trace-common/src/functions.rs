//! Functions of the kernel that the programs call, and that no helper offers.
//!
//! Such a call names its function by the number of its type in the running kernel's type information
//! (`Documentation/bpf/kfuncs.rst`, v6.12), which the programs cannot know. They call a [`Function::mark`]
//! instead, in the way of a helper, and the loader puts the number in its place.

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Function {
    /// `bpf_preempt_disable` (`kernel/bpf/helpers.c`, v6.10 on).
    PreemptDisable = 0x4953_4f01,
    /// `bpf_preempt_enable`.
    PreemptEnable = 0x4953_4f02,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::PreemptDisable, Self::PreemptEnable];

    /// The kernel's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreemptDisable => "bpf_preempt_disable",
            Self::PreemptEnable => "bpf_preempt_enable",
        }
    }

    /// What the programs call in its place: the number of no helper.
    #[must_use]
    pub const fn mark(self) -> u32 {
        self as u32
    }
}
