//! What the fuzzer does with bytes. A test of the library runs it as well, so that it compiles.

use std::{fs::File, io::Write as _};

use super::symbolize::{Image, Limits, LinkedAddress, NAME, PerfMap, Program};

const LIMITS: Limits = Limits {
    memory: 4 << 20,
    steps: 1 << 18,
};

/// Asks for places in these bytes. None may panic, nor break the limits.
pub(super) fn ask_all(bytes: &[u8]) {
    perf_map(bytes);
    let open = || Image::from_bytes(bytes.into(), LIMITS).ok();
    let (Some(image), Some(debug), Some(split), Some(shared)) = (open(), open(), open(), open())
    else {
        return;
    };
    let code = image.code().unwrap_or(0x1000..0x1100);
    let mut program = Program::new(image);
    ask(&program, code.start);
    program.set_debug(debug);
    program.add_split(split);
    program.set_shared(shared);
    ask(&program, code.start);
}

fn ask(program: &Program, start: u64) {
    for offset in [0, 1, 4, 0x10, 0x39, 0x43, 0x100] {
        let at = LinkedAddress(start.wrapping_add(offset));
        let place = program.place(at, 1);
        assert!(place.location.is_none_or(|it| it.len() <= NAME));
        assert!(place.inlined.len() <= 32);
    }
}

/// The bytes as a perf map, which is written in two parts and read after each.
fn perf_map(bytes: &[u8]) {
    let mut file = memory_file();
    let mut map = PerfMap::new(&LIMITS);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for part in [first, second] {
        file.write_all(part).expect("a file in memory");
        map.update(&file).expect("a file in memory");
        for address in [0, 1, 0x10, 0x1000, 0x7fff_0000_0000, u64::MAX] {
            let Some(place) = map.place(address, 0) else {
                continue;
            };
            assert!(place.location.is_none_or(|it| it.len() <= NAME));
        }
    }
}

fn memory_file() -> File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    rustix::fs::memfd_create("perf-map", flags)
        .expect("a file in memory")
        .into()
}
