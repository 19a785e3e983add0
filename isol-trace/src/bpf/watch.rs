//! The mask of watched CPUs that the programs read, and what goes with it when it shrinks.

use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHashMap, MapData, MapError},
};
use isol_trace_common::{config::Watch, span::away::Away};

use super::{
    error::TracerError,
    object::{WatchWords, detect, watch_cpu},
    rings::typed,
};
use crate::event::{ids::Cpu, model::Detection};

/// The section of the programs' mask, which the loader makes a map of.
const MASK: &str = ".data.watch";
const VICTIMS: &str = "AWAY";

/// Which CPUs the programs watch.
pub(super) struct WatchedMask {
    map: Array<MapData, WatchWords>,
    mask: Watch,
    victims: BpfHashMap<MapData, u32, AwayWords>,
}

/// An [`Away`] as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct AwayWords([u32; size_of::<Away>() / 4]);

// SAFETY: plain words without padding.
unsafe impl aya::Pod for AwayWords {}

impl AwayWords {
    /// The CPU whose entry it was.
    fn cpu(&self) -> Cpu {
        let [_, _, _, _, cpu, _] = self.0;
        Cpu(cpu)
    }
}

impl WatchedMask {
    /// Takes the maps out of the object. Nobody is watched.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, TracerError> {
        Ok(Self {
            map: typed(ebpf, MASK)?,
            mask: Watch::NONE,
            victims: typed(ebpf, VICTIMS)?,
        })
    }

    /// Watches more CPUs. How their entries are found is stored before they are watched.
    pub(super) fn add(&mut self, cpus: &[(Cpu, Detection)]) -> Result<(), TracerError> {
        for &(cpu, detection) in cpus {
            detect(&mut self.mask, cpu, detection);
        }
        self.store()?;
        for &(cpu, _) in cpus {
            watch_cpu(&mut self.mask, cpu, true);
        }
        self.store()
    }

    /// Watches some CPUs no longer. Programs that have begun may still think otherwise.
    pub(super) fn remove(&mut self, cpus: &[Cpu]) -> Result<(), TracerError> {
        for &cpu in cpus {
            watch_cpu(&mut self.mask, cpu, false);
        }
        self.store()
    }

    /// Forgets victims of CPUs that are watched no longer: when they are back cannot be known.
    pub(super) fn forget_victims(&mut self, cpus: &[Cpu]) -> Result<(), TracerError> {
        let mut gone = Vec::new();
        for item in &self.victims {
            let (tid, away) = item.map_err(|source| failed(VICTIMS, source))?;
            if cpus.contains(&away.cpu()) {
                gone.push(tid);
            }
        }
        for tid in gone {
            match self.victims.remove(&tid) {
                // It came back or died meanwhile.
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(MapError::SyscallError(error))
                    if error.io_error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed(VICTIMS, source)),
            }
        }
        Ok(())
    }

    fn store(&mut self) -> Result<(), TracerError> {
        self.map
            .set(0, WatchWords::from(&self.mask), 0)
            .map_err(|source| failed(MASK, source))
    }
}

fn failed(name: &'static str, source: MapError) -> TracerError {
    TracerError::Map { name, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_victims_cpu_is_where_the_words_have_it() {
        assert_eq!(std::mem::offset_of!(Away, cpu), 16);
        let away = AwayWords([1, 2, 3, 4, 7, 5]);
        assert_eq!(away.cpu(), Cpu(7));
    }
}
