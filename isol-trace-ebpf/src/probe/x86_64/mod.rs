//! Probes of x86-64 that no other architecture has.

mod fault;
mod nmi;
mod reschedule;
mod vector;
