//! What the other commands need and a machine may lack: got once, kept in the cache, said on
//! standard error.

pub(crate) mod apt;
mod bpf_linker;
mod busybox;
mod kernels;
mod qemu;
mod rust_src;
mod toolchain;

use std::{env, path::PathBuf, process::Command};

use anyhow::Result;

pub(crate) use self::{
    busybox::Busybox,
    kernels::{KernelImage, LINES},
    qemu::Qemu,
    toolchain::{Toolchain, workspace},
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

    /// A kernel by the name of its line, or by its path.
    pub(crate) fn kernel(&self, line_or_path: &str) -> Result<KernelImage> {
        kernels::ensure(self, line_or_path)
    }
}

impl BuildTools {
    /// `cargo` in the workspace, with what the BPF crate's build script reads.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = toolchain::cargo();
        command.env(LINKER_VARIABLE, &self.linker);
        command
    }
}
