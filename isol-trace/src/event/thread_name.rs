//! Names of threads, as the kernel keeps them (`TASK_COMM_LEN` bytes, `include/linux/sched.h`).

use std::sync::Arc;

/// A thread's name that came as two words, up to its NUL.
pub(super) fn thread_name(words: [u64; 2]) -> Arc<str> {
    let mut bytes = [0; 16];
    for (half, word) in bytes.chunks_exact_mut(8).zip(words) {
        half.copy_from_slice(&word.to_le_bytes());
    }
    thread_name_of(&bytes)
}

/// A thread's name up to its NUL; bytes that are no UTF-8 are replaced.
pub(super) fn thread_name_of(bytes: &[u8; 16]) -> Arc<str> {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into()
}
