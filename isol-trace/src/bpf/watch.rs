//! The mask of watched CPUs that the programs read, and what goes with it when it shrinks.

use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHashMap, MapData, MapError},
};
use isol_trace_common::{config::Watch, span::away::Away};
use zerocopy::IntoBytes as _;

use super::{error::TracerError, rings::take_map};
use crate::event::{ids::Cpu, model::Detection};

/// The section of the programs' mask, which the loader makes a map of.
const MASK: &str = ".data.watch";
const AWAY: &str = "AWAY";

const WATCH_WORDS: usize = size_of::<Watch>() / 8;

/// [`Watch`] as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct WatchWords([u64; WATCH_WORDS]);

// SAFETY: plain words without padding.
unsafe impl aya::Pod for WatchWords {}

impl From<&Watch> for WatchWords {
    fn from(watch: &Watch) -> Self {
        let mut words = [0; WATCH_WORDS];
        words.as_mut_bytes().copy_from_slice(watch.as_bytes());
        Self(words)
    }
}

/// Sets or clears a CPU's bit. CPUs beyond the mask have none.
fn set(mask: &mut [u64], cpu: Cpu, to: bool) {
    if let Some(word) = mask.get_mut((cpu.0 / 64) as usize) {
        let bit = 1 << (cpu.0 % 64);
        *word = if to { *word | bit } else { *word & !bit };
    }
}

/// Which CPUs the programs watch.
pub(super) struct WatchedMask {
    map: Array<MapData, WatchWords>,
    mask: Watch,
    pub(super) away: BpfHashMap<MapData, u32, AwayWords>,
}

/// An [`Away`] as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct AwayWords(pub(super) [u32; size_of::<Away>() / 4]);

// SAFETY: plain words without padding.
unsafe impl aya::Pod for AwayWords {}

impl AwayWords {
    /// The CPU whose entry it was.
    fn cpu(&self) -> Cpu {
        let [_, _, _, _, cpu, ..] = self.0;
        Cpu(cpu)
    }
}

impl WatchedMask {
    /// Takes the maps out of the object. Nobody is watched.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, TracerError> {
        Ok(Self {
            map: take_map(ebpf, MASK)?,
            mask: Watch::NONE,
            away: take_map(ebpf, AWAY)?,
        })
    }

    /// Watches more CPUs. How their entries are found is stored before they are watched.
    pub(super) fn add(&mut self, cpus: &[(Cpu, Detection)]) -> Result<(), TracerError> {
        for &(cpu, detection) in cpus {
            set(&mut self.mask.vectors, cpu, detection == Detection::Vectors);
        }
        self.store()?;
        for &(cpu, _) in cpus {
            set(&mut self.mask.watched, cpu, true);
        }
        self.store()
    }

    /// Watches some CPUs no longer. Programs that have begun may still think otherwise.
    pub(super) fn remove(&mut self, cpus: &[Cpu]) -> Result<(), TracerError> {
        for &cpu in cpus {
            set(&mut self.mask.watched, cpu, false);
        }
        self.store()
    }

    /// Forgets tasks that are away from CPUs that are watched no longer: when they are back cannot be known.
    pub(super) fn forget_away(&mut self, cpus: &[Cpu]) -> Result<(), TracerError> {
        let mut gone = Vec::new();
        for item in &self.away {
            let (tid, away) = item.map_err(|source| failed(AWAY, source))?;
            if cpus.contains(&away.cpu()) {
                gone.push(tid);
            }
        }
        for tid in gone {
            match self.away.remove(&tid) {
                // It came back or died meanwhile.
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(MapError::SyscallError(error))
                    if error.io_error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed(AWAY, source)),
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
    fn the_cpu_of_a_task_that_is_away_is_where_the_words_have_it() {
        assert_eq!(std::mem::offset_of!(Away, cpu), 16);
        let away = AwayWords([1, 2, 3, 4, 7, 5, 1, 0, 8, 9]);
        assert_eq!(away.cpu(), Cpu(7));
    }

    #[test]
    fn masks_have_a_bit_for_each_cpu() {
        let mut watch = Watch::NONE;
        set(&mut watch.vectors, Cpu(65), true);
        set(&mut watch.vectors, Cpu(2), false);
        set(&mut watch.watched, Cpu(65), true);
        set(&mut watch.watched, Cpu(2), true);
        assert_eq!((watch.watched[0], watch.watched[1]), (1 << 2, 1 << 1));
        assert_eq!((watch.vectors[0], watch.vectors[1]), (0, 1 << 1));
        set(&mut watch.watched, Cpu(2), false);
        set(&mut watch.vectors, Cpu(65), false);
        assert_eq!((watch.watched[0], watch.vectors[1]), (0, 0));
        set(&mut watch.watched, Cpu(u32::MAX), true);
    }
}
