//! What the other commands need and a machine may lack: got once, kept in the cache, said on
//! standard error.

pub(crate) mod apt;
mod bpf_linker;
mod busybox;
mod kernel_tools;
mod kernels;
mod qemu;
mod rust_src;
mod toolchain;

use std::{env, path::PathBuf, process::Command};

use anyhow::Result;

pub(crate) use self::{
    busybox::Busybox,
    kernel_tools::{COMPILER, KernelTools},
    kernels::{KernelImage, LINES},
    qemu::Qemu,
    toolchain::{Toolchain, target_folder, workspace},
};
use crate::cache::Cache;

/// Names the linker for the BPF crate's build.
const LINKER_VARIABLE: &str = "ISOL_TRACE_BPF_LINKER";

/// Gets what is missing.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) cache: Cache,
}

/// What building the workspace needs.
#[derive(Clone, Debug)]
pub(crate) struct BuildTools {
    pub(crate) toolchain: Toolchain,
    linker: PathBuf,
}

impl Setup {
    /// With the cache that the environment names.
    pub(crate) fn open() -> Result<Self> {
        Ok(Self {
            cache: Cache::open()?,
        })
    }

    /// The compiler, its library's source and the BPF linker.
    pub(crate) fn build_tools(&self) -> Result<BuildTools> {
        let toolchain = Toolchain::detect()?;
        rust_src::ensure(self, &toolchain)?;
        let linker = match env::var_os(LINKER_VARIABLE).map(PathBuf::from) {
            Some(named) if named.exists() => named,
            _ => bpf_linker::ensure(self, &toolchain)?,
        };
        Ok(BuildTools { toolchain, linker })
    }

    /// Everything that any command needs.
    pub(crate) fn everything(&self) -> Result<()> {
        self.build_tools()?;
        self.qemu()?;
        self.busybox()?;
        for line in LINES {
            self.kernel(line.name)?;
        }
        Ok(())
    }

    /// The emulator.
    pub(crate) fn qemu(&self) -> Result<Qemu> {
        qemu::ensure(self)
    }

    /// The shell and tools of a guest.
    pub(crate) fn busybox(&self) -> Result<Busybox> {
        busybox::ensure(self)
    }

    /// Programs and headers for building a kernel.
    pub(crate) fn kernel_tools(&self) -> Result<KernelTools> {
        kernel_tools::ensure(self)
    }

    /// Whether this names a kernel line.
    pub(crate) fn is_line(line_or_path: &str) -> bool {
        LINES.iter().any(|line| line.name == line_or_path)
    }

    /// What is not there yet that a guest of a kernel takes, for people. What was built for a guest
    /// counts as there, however old.
    pub(crate) fn lacks(&self, kernel: &str) -> Lacks {
        let cached = |inside: &str| self.cache.path(inside).exists();
        let linker = env::var_os(LINKER_VARIABLE).is_some() || bpf_linker::is_there(self);
        Lacks {
            to_fetch: [
                (!qemu::is_there(self)).then_some("QEMU"),
                (Self::is_line(kernel) && !cached(&format!("kernels/{kernel}")))
                    .then_some("a kernel"),
                (!cached(busybox::FOLDER)).then_some("busybox"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            linker: !linker,
        }
    }

    /// A kernel by the name of its line, or by its path.
    pub(crate) fn kernel(&self, line_or_path: &str) -> Result<KernelImage> {
        kernels::ensure(self, line_or_path)
    }
}

/// What a guest takes and is not there yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// What has to be fetched.
    pub(crate) to_fetch: Vec<&'static str>,
    /// The BPF linker has to be built.
    pub(crate) linker: bool,
}

impl BuildTools {
    /// `cargo` in the workspace, with what the BPF crate's build script reads.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = toolchain::cargo();
        command.env(LINKER_VARIABLE, &self.linker);
        command
    }
}
