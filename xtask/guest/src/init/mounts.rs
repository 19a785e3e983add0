//! The guest's file systems and links.

use std::{fs, os::unix::fs::symlink};

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, mount};

/// A file system to mount.
struct Mount {
    kind: &'static str,
    at: &'static str,
    /// Kernels built small may lack it; programs that need it say so themselves.
    optional: bool,
}

const fn needed(kind: &'static str, at: &'static str) -> Mount {
    Mount {
        kind,
        at,
        optional: false,
    }
}

const fn optional(kind: &'static str, at: &'static str) -> Mount {
    Mount {
        kind,
        at,
        optional: true,
    }
}

const MOUNTS: [Mount; 11] = [
    needed("proc", "/proc"),
    needed("sysfs", "/sys"),
    needed("devtmpfs", "/dev"),
    optional("devpts", "/dev/pts"),
    optional("tmpfs", "/dev/shm"),
    needed("tmpfs", "/run"),
    needed("tmpfs", "/tmp"),
    optional("debugfs", "/sys/kernel/debug"),
    optional("tracefs", "/sys/kernel/tracing"),
    optional("bpf", "/sys/fs/bpf"),
    optional("cgroup2", "/sys/fs/cgroup"),
];

/// Mounts everything and makes the links that programs expect in `/dev`.
pub(super) fn mount_all() -> Result<()> {
    for file_system in MOUNTS {
        let done = mount_one(&file_system);
        if !file_system.optional {
            done.with_context(|| {
                format!("cannot mount {} at {}", file_system.kind, file_system.at)
            })?;
        }
    }
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, link).with_context(|| format!("cannot make {link}"))?;
    }
    Ok(())
}

fn mount_one(file_system: &Mount) -> Result<()> {
    // Below /sys the folders are the kernel's: making one there fails and the mount says why.
    let _ = fs::create_dir_all(file_system.at);
    mount(
        file_system.kind,
        file_system.at,
        file_system.kind,
        MountFlags::empty(),
        None,
    )?;
    Ok(())
}
