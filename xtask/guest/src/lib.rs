//! Programs of the test guest.

pub mod boot;
pub mod demo;
pub mod init;
pub mod screen;
pub mod settle;
pub mod syscalls;
pub mod truth;
