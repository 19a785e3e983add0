//! The ground truth: provokes each cause on purpose and asks the log for it.

pub mod bench;
pub mod causes;
pub mod check;
pub mod director;
pub mod expect;
pub mod guest;
pub mod hits;
pub mod independent;
pub mod interrupts;
pub mod invariant;
pub mod load;
pub mod log;
pub mod plan;
pub mod provoke;
pub mod results;
pub mod stage;
pub mod sys;
pub mod tracer;
