//! The ground truth: provokes each cause on purpose and asks the log for it.

pub mod check;
pub mod expect;
pub mod invariant;
pub mod log;
pub mod stage;
pub mod sys;
pub mod provoke {
    //! x
}
