//! Something of each CPU, found by its number: for every breach, where a hash would be felt.

use super::ids::Cpu;

/// One value of each CPU; what nobody has asked for is as it is made.
#[derive(Debug, Default)]
pub(super) struct PerCpu<T>(Vec<T>);

impl<T: Default> PerCpu<T> {
    /// A CPU's value, to be changed.
    pub(super) fn of(&mut self, Cpu(cpu): Cpu) -> &mut T {
        let place = cpu as usize;
        if self.0.len() <= place {
            self.0.resize_with(place + 1, T::default);
        }
        &mut self.0[place]
    }

    /// A CPU's value; `None` if nobody has asked for it.
    pub(super) fn get(&self, Cpu(cpu): Cpu) -> Option<&T> {
        self.0.get(cpu as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_has_its_own() {
        let mut values = PerCpu::<u64>::default();
        *values.of(Cpu(3)) = 7;
        *values.of(Cpu(1)) += 1;
        assert_eq!([1, 2, 3].map(|cpu| *values.of(Cpu(cpu))), [1, 0, 7]);
        assert_eq!(values.get(Cpu(3)), Some(&7));
        assert_eq!(values.get(Cpu(4)), None);
    }
}
