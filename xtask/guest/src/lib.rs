//! Programs of the test guest.
