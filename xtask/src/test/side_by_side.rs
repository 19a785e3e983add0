//! Guests run side by side, as many as the machine has room for; each is whole for itself.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
};

/// Cores that a guest takes: its watched CPU computes while what traces it works on another one.
const CORES: usize = 2;

/// How many guests this machine runs at once without one starving the other.
pub(super) fn room() -> usize {
    thread::available_parallelism().map_or(1, |cores| (cores.get() / CORES).max(1))
}

/// Does all jobs, at most so many at once, and gives what they answer in their order. A job that
/// panics has no answer.
pub(super) fn all<J: Send, A: Send>(
    at_once: usize,
    jobs: impl IntoIterator<Item = J>,
    work: impl Fn(J) -> A + Sync,
) -> Vec<Option<A>> {
    let waiting: VecDeque<(usize, J)> = jobs.into_iter().enumerate().collect();
    let mut answers: Vec<Option<A>> = waiting.iter().map(|_| None).collect();
    let waiting = Mutex::new(waiting);
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let worker = || {
        let mut done = Vec::new();
        while let Some((place, job)) = next() {
            let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(job)));
            done.push((place, answer.ok()));
        }
        done
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once.max(1)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            for (place, answer) in worker.join().unwrap_or_default() {
                answers[place] = answer;
            }
        }
    });
    answers
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn answers_are_in_order_and_no_more_work_at_once_than_may() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // The first two wait for each other: alone, neither would end.
        let both = Barrier::new(2);
        let answers = all(2, 0..7, |job| {
            let working = now.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(working, Ordering::SeqCst);
            if job < 2 {
                both.wait();
            }
            now.fetch_sub(1, Ordering::SeqCst);
            job * 10
        });
        let expected: Vec<_> = (0..7).map(|job| Some(job * 10)).collect();
        assert_eq!(answers, expected);
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_job_that_panics_ends_no_other() {
        let answers = all(1, 0..3, |job| {
            assert_ne!(job, 1, "as it should be");
            job
        });
        assert_eq!(answers, [Some(0), None, Some(2)]);
    }
}
