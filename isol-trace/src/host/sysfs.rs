//! Which CPUs there are, and which the kernel was booted to isolate.

use super::{Host, HostError, cpu_list::CpuSet};

const FOLDER: &str = "/sys/devices/system/cpu";

/// One of the files here.
pub(super) fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

impl Host {
    /// CPUs that run now.
    pub fn online(&self) -> Result<CpuSet, HostError> {
        self.required("online")
    }

    /// CPUs that are there, online or not.
    pub fn present(&self) -> Result<CpuSet, HostError> {
        self.required("present")
    }

    /// CPUs that could ever be there: no CPU has a higher number.
    pub fn possible(&self) -> Result<CpuSet, HostError> {
        self.required("possible")
    }

    /// CPUs of the boot argument `nohz_full=`; none where the kernel lacks the feature.
    pub fn nohz_full(&self) -> Result<CpuSet, HostError> {
        self.optional("nohz_full")
    }

    /// CPUs of the boot argument `isolcpus=`. Cpuset partitions do not show here
    /// (`print_cpus_isolated`, drivers/base/cpu.c, 6.1 to 7.3).
    pub fn isolated(&self) -> Result<CpuSet, HostError> {
        self.optional("isolated")
    }

    fn required(&self, name: &str) -> Result<CpuSet, HostError> {
        let path = file(name);
        let text = self.read_required(&path)?;
        self.list(&path, &text)
    }

    fn optional(&self, name: &str) -> Result<CpuSet, HostError> {
        let path = file(name);
        match self.read(&path)? {
            Some(text) => self.list(&path, &text),
            None => Ok(CpuSet::new()),
        }
    }

    /// Parses the CPU list of a kernel file.
    pub(super) fn list(&self, path: &str, text: &str) -> Result<CpuSet, HostError> {
        // A kernel built with NO_HZ_FULL and booted without `nohz_full=` prints a null
        // mask: "(null)" (drivers/base/cpu.c, print_cpus_nohz_full, 6.12).
        if text.trim_ascii() == "(null)" {
            return Ok(CpuSet::new());
        }
        text.parse().map_err(|source| HostError::CpuList {
            path: self.path(path),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::host::tests::recorded;

    #[test]
    fn a_null_mask_is_no_cpu() {
        let host = recorded("nohz-null");
        assert!(host.nohz_full().unwrap().is_empty());
        assert_eq!(host.online().unwrap().to_string(), "0-3");
    }

    #[test]
    fn a_kernel_without_the_feature_has_no_such_file() {
        let host = recorded("cgroup-v1");
        assert!(host.nohz_full().unwrap().is_empty());
        assert!(host.isolated().unwrap().is_empty());
    }

    #[test]
    fn large_hosts_are_read() {
        let host = recorded("many-cpus");
        assert_eq!(host.online().unwrap().len(), 4096);
        assert_eq!(host.possible().unwrap().to_string(), "0-4095");
        assert_eq!(host.nohz_full().unwrap().len(), 4088);
    }

    #[test]
    fn present_and_possible_differ() {
        let host = recorded("offline-cpu");
        assert_eq!(host.possible().unwrap().to_string(), "0-7");
        assert_eq!(host.present().unwrap().to_string(), "0-3");
        assert_eq!(host.online().unwrap().to_string(), "0-2");
    }
}
