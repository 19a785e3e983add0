//! What the fuzzer does (`fuzz/`), over a few programs that were cut and changed: it compiles, and holds there.

use std::fs;

use isol_trace::symbolize;

#[expect(clippy::expect_used, reason = "a helper of tests fails as tests do")]
#[path = "../../fuzz/harness.rs"]
mod harness;

#[test]
fn programs_that_were_cut_and_changed_are_asked() {
    let program = fs::read("/bin/true").expect("every Linux has it");
    harness::ask_all(&program);
    for at in (0..program.len()).step_by(program.len() / 64) {
        harness::ask_all(&program[..at]);
        let mut changed = program.clone();
        changed[at..]
            .iter_mut()
            .take(64)
            .for_each(|byte| *byte ^= 0xff);
        harness::ask_all(&changed);
    }
    // A perf map.
    harness::ask_all(b"1000 20 f\n1020 10 \xff\xff\nffffffffffffffff 2 g\n");
}
