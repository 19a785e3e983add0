//! What is done beside the guests, and waiting for its end: tests that failed are run again on a machine that does
//! nothing else.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Work beside the guests that has not ended.
#[derive(Debug, Default)]
pub(super) struct Beside {
    left: Mutex<usize>,
    ended: Condvar,
}

/// Such a work. It ends with this, also by a panic.
#[derive(Debug)]
pub(super) struct Work<'beside>(&'beside Beside);

impl Beside {
    fn left(&self) -> MutexGuard<'_, usize> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One begins.
    pub(super) fn begin(&self) -> Work<'_> {
        *self.left() += 1;
        Work(self)
    }

    /// Waits until none is left.
    pub(super) fn wait(&self) {
        let left = self.ended.wait_while(self.left(), |left| *left > 0);
        drop(left.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        *self.0.left() -= 1;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn all_that_has_begun_is_waited_for() {
        let (beside, has_ended, both) =
            (Beside::default(), AtomicBool::new(false), Barrier::new(2));
        beside.wait();
        let work = [beside.begin(), beside.begin()];
        thread::scope(|scope| {
            scope.spawn(|| {
                let [first, second] = work;
                drop(first);
                both.wait();
                has_ended.store(true, Ordering::SeqCst);
                drop(second);
            });
            both.wait();
            beside.wait();
            assert!(has_ended.load(Ordering::SeqCst));
        });
    }

    #[test]
    fn what_panics_has_ended() {
        let beside = Beside::default();
        thread::scope(|scope| {
            let work = beside.begin();
            let panics = scope.spawn(move || {
                let _work = work;
                panic!("as it should");
            });
            assert!(panics.join().is_err());
        });
        beside.wait();
    }
}
