//! x86-64.

/// The emulator.
pub(crate) const QEMU_PROGRAM: &str = "qemu-system-x86_64";

/// The package of Debian that has it.
pub(crate) const QEMU_PACKAGE: &str = "qemu-system-x86";

/// The machine that it emulates.
pub(crate) const MACHINE: &str = "q35";

/// An emulated CPU, without features that make emulation slow: a kernel that believes strings to be
/// copied and cleared fast has that done byte by byte, and page tables of five levels have one more
/// to walk. Starting the tracer twice took 19.3 s of this machine's CPU time with them, 13.8 s
/// without, and without clearing what is allocated (`init_on_alloc=0`).
pub(crate) const EMULATED_CPU: &str = "max,-erms,-fsrm,-fzrm,-fsrs,-fsrc,-la57";

/// The console of the first serial port, as the kernel calls it. The second one is the developer's terminal.
pub(crate) const CONSOLE: &str = "ttyS0";

/// The clock that a kernel keeps, once it has found it good.
pub(crate) const CLOCK: &str = "tsc";

/// What makes a watched CPU quiet besides its isolation: no clocksource watchdog visits it.
pub(crate) const QUIET: &str = "tsc=reliable";

/// What lets an injected NMI reach every CPU rather than the first.
pub(crate) const NMI_EVERYWHERE: &str = "apic_extnmi=all";

/// What tells `make` in the kernel's tree which architecture to build for.
pub(crate) const MAKE: &str = "ARCH=x86_64";

/// The kernel's image: what `make` calls it, and its name in the cache.
pub(crate) const IMAGE: &str = "bzImage";

/// Where a built tree has it.
pub(crate) const IMAGE_IN_TREE: &str = "arch/x86/boot/bzImage";

/// How the names of Debian's kernel packages end.
pub(crate) const PACKAGE_SUFFIX: &str = "-amd64";
