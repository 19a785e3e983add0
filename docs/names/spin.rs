#[inline(never)]
fn work(n: u64) -> u64 { (0..1_000_000).fold(n, |n, i| std::hint::black_box(n.wrapping_mul(i | 1))) }
fn main() { let mut n = 1; loop { n = work(n); } }
