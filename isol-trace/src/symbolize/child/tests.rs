use std::os::unix::fs::FileTypeExt as _;

use super::*;

/// What tests of the tracer's side start in the place of this program: their own, which runs this alone.
#[test]
#[ignore = "is the symbolizer of other tests, and refuses to be without a socket"]
fn is_the_symbolizer() {
    let stdin = File::open("/proc/self/fd/0").and_then(|it| it.metadata());
    // A socket cannot be opened by its path.
    let is_socket = stdin.is_err()
        || std::fs::metadata("/proc/self/fd/0").is_ok_and(|it| it.file_type().is_socket());
    let served = serve();
    assert_eq!(served.is_ok(), is_socket, "{served:?}");
}

#[test]
fn our_own_vdso_is_an_elf_file() {
    let image = own_vdso().expect("every process has one");
    assert!(image.starts_with(b"\x7fELF"));
}
