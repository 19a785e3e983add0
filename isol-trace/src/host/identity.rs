//! What the header of a log says of host and kernel.

use super::{Host, HostError};

/// Names of host and kernel, and how it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Host name.
    pub host: String,
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Architecture of the kernel, as `uname -m` prints it.
    pub arch: String,
    /// Whether the kernel is built with `CONFIG_NO_HZ_FULL`; without it `nohz_full=` means nothing
    /// to it.
    pub no_hz_full: bool,
}

impl Host {
    /// Reads them.
    pub fn identity(&self) -> Result<Identity, HostError> {
        // The file of the architecture is younger (6.1) than the others.
        let arch = match self.read("/proc/sys/kernel/arch")? {
            Some(text) => text,
            None => rustix::system::uname()
                .machine()
                .to_string_lossy()
                .into_owned(),
        };
        Ok(Identity {
            host: line(&self.read_required("/proc/sys/kernel/hostname")?),
            kernel: line(&self.read_required("/proc/sys/kernel/osrelease")?),
            arch: line(&arch),
            // The file is there with the feature alone, whatever was booted with
            // (drivers/base/cpu.c, v6.12).
            no_hz_full: self.read("/sys/devices/system/cpu/nohz_full")?.is_some(),
        })
    }
}

/// A one-line file without its line end.
fn line(text: &str) -> String {
    text.trim_ascii_end().to_owned()
}

#[cfg(test)]
mod tests {
    use crate::host::tests::recorded;

    #[test]
    fn names_are_read_without_line_ends() {
        let identity = recorded("nohz-full").identity().unwrap();
        assert_eq!(identity.host, "isolated-1");
        assert_eq!(identity.kernel, "6.12.117+deb13-cloud-amd64");
        assert_eq!(identity.arch, "x86_64");
        assert!(identity.no_hz_full);
    }
}
