//! Where work that belongs to no CPU may run.

use super::{Host, cpu_list::CpuSet, reading::Reading};

const FOLDER: &str = "/sys/devices/virtual/workqueue";

/// Masks of the unbound workqueues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workqueues {
    /// The mask of them all.
    pub all: Reading<CpuSet>,
    /// Those that have one of their own, by name.
    pub each: Vec<(String, CpuSet)>,
}

impl Host {
    /// Reads the masks of the unbound workqueues.
    #[must_use]
    pub fn workqueues(&self) -> Workqueues {
        let own = |name: String| {
            let mask = self.cpu_mask(&format!("{FOLDER}/{name}/cpumask"));
            Some((name, mask.known()?.clone()))
        };
        Workqueues {
            all: self.cpu_mask(&format!("{FOLDER}/cpumask")),
            each: self.names(FOLDER).into_iter().filter_map(own).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::host::tests::Tree;

    #[test]
    fn the_mask_of_all_is_told_from_those_of_single_ones() {
        let tree = Tree::new()
            .file("/sys/devices/virtual/workqueue/cpumask", "3")
            .file("/sys/devices/virtual/workqueue/writeback/cpumask", "f");
        let found = tree.host().workqueues();
        assert_eq!(found.all.known().unwrap().to_string(), "0-1");
        let [(name, cpus)] = found.each.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (name.as_str(), cpus.to_string().as_str()),
            ("writeback", "0-3")
        );
    }
}
