//! Files that mean harm, made here, and what the symbolizer may do with them: it neither panics nor
//! takes more memory than its limit, whatever they say. Every file is asked for places as a program, as a debug
//! file, as split debug information and as a shared file.

#![expect(clippy::expect_used, reason = "this whole file is a test")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt as _,
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use isol_trace::symbolize::{Image, Limits, LinkedAddress, Missing, NAME, Place, Program, SOURCE};
use proptest::prelude::*;

/// Counts the bytes that each thread of this test has, and the most that it had.
struct Counting;

thread_local! {
    static TAKEN: AtomicUsize = const { AtomicUsize::new(0) };
    static PEAK: AtomicUsize = const { AtomicUsize::new(0) };
}

fn took(bytes: usize) {
    let taken = TAKEN
        .with(|it| it.fetch_add(bytes, Ordering::Relaxed))
        .wrapping_add(bytes);
    // What another thread allocated and this one freed would be a negative number.
    if taken < usize::MAX / 2 {
        PEAK.with(|it| it.fetch_max(taken, Ordering::Relaxed));
    }
}

fn gave(bytes: usize) {
    TAKEN.with(|it| it.fetch_sub(bytes, Ordering::Relaxed));
}

// SAFETY: every request goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both exist while it is copied.
        took(size);
        gave(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What one file may take in these tests.
const LIMITS: Limits = Limits {
    memory: 8 << 20,
    steps: 1 << 20,
};

/// The most bytes that `work` had at a time.
fn peak(work: impl FnOnce()) -> usize {
    let before = TAKEN.with(|it| it.load(Ordering::Relaxed));
    PEAK.with(|it| it.store(before, Ordering::Relaxed));
    work();
    PEAK.with(|it| it.load(Ordering::Relaxed))
        .saturating_sub(before)
}

/// A section of a file that is put together below.
struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    bytes: Vec<u8>,
    /// What it says its size is, where that is not the truth.
    size: Option<u64>,
    link: u32,
}

impl Section {
    fn new(name: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            name,
            kind: 1,
            flags: 0,
            bytes,
            size: None,
            link: 0,
        }
    }

    /// Compressed, with a claim of what it will be.
    fn compressed(name: &'static str, kind: u32, claim: u64, data: &[u8]) -> Self {
        let mut bytes = [
            &kind.to_le_bytes()[..],
            &[0; 4],
            &claim.to_le_bytes(),
            &[0; 8],
        ]
        .concat();
        bytes.extend_from_slice(data);
        Self {
            flags: 0x800,
            ..Self::new(name, bytes)
        }
    }
}

/// A 64-bit ELF file: code at 0x1000, and those sections. What a section says of its size is what the
/// file will have; it is sparse there.
fn elf(sections: &[Section]) -> Vec<u8> {
    let mut names = vec![0];
    let mut table = vec![0; 64];
    let mut body = Vec::new();
    let start = 64;
    let text = Section {
        flags: 4,
        ..Section::new(".text", vec![0x90; 64])
    };
    let all: Vec<&Section> = [&text].into_iter().chain(sections).collect();
    for section in &all {
        let address: u64 = if section.name == ".text" { 0x1000 } else { 0 };
        let size = section.size.unwrap_or(section.bytes.len() as u64);
        header(
            &mut table,
            names.len(),
            section.kind,
            section.flags,
            address,
        );
        for word in [(start + body.len()) as u64, size] {
            table.extend(word.to_le_bytes());
        }
        table.extend(section.link.to_le_bytes());
        table.extend([0; 4]);
        table.extend(1_u64.to_le_bytes());
        table.extend(if section.kind == 2 { 24_u64 } else { 0 }.to_le_bytes());
        names.extend(section.name.bytes().chain([0]));
        body.extend(&section.bytes);
        body.resize(body.len().next_multiple_of(8), 0);
    }
    let strings = start + body.len();
    header(&mut table, 0, 3, 0, 0);
    for word in [strings as u64, names.len() as u64, 0, 1, 0] {
        table.extend(word.to_le_bytes());
    }
    body.extend(&names);
    body.resize(body.len().next_multiple_of(8), 0);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    for word in [0x1000_u64, 0, (start + body.len()) as u64] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0]);
    let count = u16::try_from(all.len() + 2).expect("a few");
    for half in [64, 56, 0, 64, count, count - 1] {
        file.extend(half.to_le_bytes());
    }
    file.extend(body);
    file.extend(table);
    file
}

fn header(table: &mut Vec<u8>, name: usize, kind: u32, flags: u64, address: u64) {
    table.extend(u32::try_from(name).expect("short").to_le_bytes());
    table.extend(kind.to_le_bytes());
    table.extend(flags.to_le_bytes());
    table.extend(address.to_le_bytes());
}

/// An entry of a symbol table: a function of 64 bytes at 0x1000.
fn symbol(name: u32) -> Vec<u8> {
    let mut entry = name.to_le_bytes().to_vec();
    entry.extend([0x12, 0, 1, 0]);
    entry.extend(0x1000_u64.to_le_bytes());
    entry.extend(64_u64.to_le_bytes());
    entry
}

fn opened(bytes: &[u8]) -> Option<Image> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    Image::open(&file, LIMITS).ok()
}

/// Asks for places in every way, and checks what comes.
fn asked(open: impl Fn() -> Option<Image>) -> Option<Place> {
    let mut program = Program::new(open()?);
    let mut first = None;
    for round in 0..4 {
        for at in [0, 0x1000, 0x1010, 0x1139, 0x1143, 0x1fff, u64::MAX] {
            let at = LinkedAddress(at);
            let place = program.place(at, 0);
            check(&place);
            if at.0 == 0x1010 {
                first.get_or_insert(place);
            }
        }
        match round {
            0 => program.set_debug(open()?),
            1 => program.add_split(open()?),
            _ => program.set_shared(open()?),
        }
    }
    first
}

/// What a reader of the log relies on.
fn check(place: &Place) {
    let both = NAME + SOURCE + 16;
    let texts = place.location.iter().chain(&place.source);
    for text in texts.chain(&place.outer).chain(place.inlined.iter()) {
        assert!(text.len() <= both, "{} bytes", text.len());
        assert!(!text.chars().any(char::is_control), "{text}");
    }
    assert!(place.location.as_ref().is_none_or(|it| it.len() <= NAME));
    assert!(place.source.as_ref().is_none_or(|it| it.len() <= SOURCE));
    assert!(place.inlined.len() <= 32);
}

/// Asks a file, and checks what that took.
fn survives(what: &str, bytes: &[u8]) -> Option<Place> {
    let mut place = None;
    let files = 4;
    let taken = peak(|| place = asked(|| opened(bytes)));
    let limit = usize::try_from(LIMITS.memory).expect("it fits") * files;
    assert!(taken <= limit, "{what}: {taken} bytes");
    place
}

/// One unit with one function over 0x1000 to 0x1040, of DWARF 4: its entries, and what they are made of.
fn dwarf(abbreviations: &[u8], entries: &[u8], others: Vec<Section>) -> Vec<u8> {
    let mut info = (u32::try_from(entries.len()).expect("short") + 7)
        .to_le_bytes()
        .to_vec();
    info.extend([4, 0, 0, 0, 0, 0, 8]);
    info.extend(entries);
    let mut sections = vec![
        Section::new(".debug_info", info),
        Section::new(".debug_abbrev", abbreviations.to_vec()),
    ];
    sections.extend(others);
    elf(&sections)
}

/// Abbreviations: 1 a unit with addresses and lines, 2 a function, 3 what was inlined in it.
const ABBREVIATIONS: [u8; 41] = [
    1, 0x11, 1, 0x11, 1, 0x12, 6, 0x10, 0x17, 0, 0, //
    2, 0x2e, 1, 0x03, 8, 0x11, 1, 0x12, 6, 0, 0, //
    3, 0x1d, 1, 0x31, 0x13, 0x11, 1, 0x12, 6, 0x59, 0x0b, 0, 0, //
    4, 0x2e, 0, 0x31, 0x13, 0,
];

/// A unit, a function `work` in it, and `inner`.
fn unit(inner: &[u8]) -> Vec<u8> {
    let mut entries = vec![1];
    entries.extend(0x1000_u64.to_le_bytes());
    entries.extend(64_u32.to_le_bytes());
    entries.extend(0_u32.to_le_bytes());
    entries.push(2);
    entries.extend(b"work\0");
    entries.extend(0x1000_u64.to_le_bytes());
    entries.extend(64_u32.to_le_bytes());
    entries.extend(inner);
    entries
}

/// A call that was inlined and covers all of the function; `origin` is an offset in the unit.
fn call(origin: u32) -> Vec<u8> {
    let mut entry = vec![3];
    entry.extend(origin.to_le_bytes());
    entry.extend(0x1000_u64.to_le_bytes());
    entry.extend(64_u32.to_le_bytes());
    entry.push(7);
    entry
}

fn abbreviations() -> Vec<u8> {
    let mut all = ABBREVIATIONS.to_vec();
    all.extend([0, 0]);
    all
}

#[test]
fn compressed_sections_that_lie_take_no_memory() {
    let zeros = vec![0; 1 << 20];
    let bomb = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            encoder.write_all(&zeros).expect("compressed");
        }
        encoder.finish().expect("compressed")
    };
    for (claim, kind) in [
        (1 << 45, 1),
        (u64::MAX, 1),
        (u64::MAX, 2),
        (0, 1),
        (4 << 20, 1),
        (4 << 20, 2),
        (64 << 20, 1),
        (1 << 20, 99),
    ] {
        let section = Section::compressed(".debug_info", kind, claim, &bomb);
        survives(&format!("a claim of {claim}"), &elf(&[section]));
    }
    let sections = [
        Section::compressed(".debug_info", 1, 64 << 20, &bomb),
        Section::new(".debug_abbrev", abbreviations()),
    ];
    let place = survives("a bomb", &elf(&sections)).expect("an ELF file");
    let Some(Missing::Memory { needs, .. }) = place.missing else {
        panic!("{place:?}")
    };
    assert_eq!(needs, 64 << 20);
    survives(
        "no header",
        &elf(&[Section {
            flags: 0x800,
            ..Section::new(".debug_info", vec![1])
        }]),
    );
}

#[test]
fn sparse_tables_of_gigabytes_take_neither_memory_nor_time() {
    let size = 8 << 30;
    for (name, kind) in [
        (".symtab", 2),
        (".note.gnu.build-id", 7),
        (".debug_info", 1),
        (".debug_abbrev", 1),
        (".debug_line", 1),
        (".gopclntab", 1),
        (".gnu_debuglink", 1),
    ] {
        let section = Section {
            kind,
            size: Some(size),
            link: 1,
            ..Section::new(name, Vec::new())
        };
        let bytes = elf(&[section]);
        let open = || {
            let file = tempfile::tempfile().expect("a file");
            file.write_all_at(&bytes, 0).expect("written");
            file.set_len(size + (1 << 20)).expect("sparse");
            Image::open(&file, LIMITS).ok()
        };
        let taken = peak(|| {
            asked(open).expect("an ELF file");
        });
        assert!(taken < 32 << 20, "{name}: {taken} bytes");
    }
}

#[test]
fn a_name_of_megabytes_is_cut() {
    let mut names = vec![0];
    names.extend(std::iter::repeat_n(b'a', 17 << 20));
    let sections = [
        Section {
            kind: 2,
            link: 3,
            ..Section::new(".symtab", [vec![0; 24], symbol(1)].concat())
        },
        Section {
            kind: 3,
            ..Section::new(".strtab", names)
        },
    ];
    let place = survives("a long name", &elf(&sections)).expect("an ELF file");
    let location = place.location.expect("a function");
    assert_eq!(location.len(), NAME);
    assert!(location.ends_with("…+0x10"), "{location}");
}

#[test]
fn entries_that_refer_to_themselves_end() {
    // The header of a unit of DWARF 4 has 11 bytes; the unit's entry 17, the function's 18.
    let first = 11 + 17 + 18;
    for origin in [first, 0, 11, 28, u32::MAX] {
        let inner = [call(origin), vec![0, 0, 0]].concat();
        let bytes = dwarf(&abbreviations(), &unit(&inner), Vec::new());
        let place = survives("a circle", &bytes).expect("an ELF file");
        assert!(
            place.location.is_some() || place.missing.is_some(),
            "{place:?}"
        );
    }
}

#[test]
fn calls_nested_without_end_are_cut() {
    let inner = call(28).repeat(100_000);
    let bytes = dwarf(&abbreviations(), &unit(&inner), Vec::new());
    let place = survives("nested calls", &bytes).expect("an ELF file");
    assert_eq!(place.inlined.len(), 32);
    assert_eq!(&*place.inlined[0], "work");
}

#[test]
fn attributes_that_take_no_bytes_are_counted() {
    // A function with 100,000 flags that are all set, in no byte at all, a million times.
    let mut all = vec![1, 0x11, 1, 0x11, 1, 0x12, 6, 0x10, 0x17, 0, 0, 5, 0x34, 0];
    all.extend([0x3f, 0x19].repeat(100_000));
    all.extend([0, 0, 0]);
    let mut entries = unit(&[]);
    entries.truncate(17);
    entries.extend(vec![5; 1 << 20]);
    let bytes = dwarf(&all, &entries, Vec::new());
    survives("flags", &bytes);
}

/// What begins the header of a line program.
const PLAIN: [u8; 18] = [1, 1, 1, 251, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];

fn line_program(header: &[u8], instructions: &[u8]) -> Vec<Section> {
    let mut body = 4_u16.to_le_bytes().to_vec();
    body.extend(u32::try_from(header.len()).expect("short").to_le_bytes());
    body.extend(header);
    body.extend(instructions);
    let mut section = u32::try_from(body.len())
        .expect("short")
        .to_le_bytes()
        .to_vec();
    section.extend(body);
    vec![Section::new(".debug_line", section)]
}

#[test]
fn line_programs_that_lie_end() {
    // A million source files, each of four bytes; then none, and rows without end.
    let mut many = PLAIN.to_vec();
    many.push(0);
    many.extend(b"a\0\0\0".repeat(1 << 20));
    many.push(0);
    let mut none = PLAIN.to_vec();
    none.extend([0, 0]);
    for (what, lines) in [
        ("files", line_program(&many, &[])),
        ("no rows", line_program(&none, &vec![6; 4 << 20])),
        ("rows", line_program(&none, &vec![1; 4 << 20])),
        ("sequences", line_program(&none, &[0, 1, 1].repeat(1 << 20))),
        ("a cut header", line_program(&PLAIN, &[])),
    ] {
        let bytes = dwarf(&abbreviations(), &unit(&[0, 0]), lines);
        let place = survives(what, &bytes);
        assert!(place.is_some(), "{what}");
    }
}

/// Each place would be another run of it.
#[test]
fn a_line_program_that_is_too_long_is_not_run_and_the_function_stays() {
    let (kept, run) = (1 << 19, 17 << 20);
    for (more_than, missing) in [(kept, None), (run, Some(Missing::Steps(".debug_line")))] {
        let header = [&PLAIN[..], b"\0a.c\0\0\0\0\0"].concat();
        // Rows of one address, and the end behind the function.
        let set = [&[0, 9, 2][..], &0x1000_u64.to_le_bytes()].concat();
        let end = [2, 64, 0, 1, 1].to_vec();
        let lines = line_program(&header, &[set, vec![0x12; more_than], end].concat());
        let file = tempfile::tempfile().expect("a file");
        let bytes = dwarf(&abbreviations(), &unit(&[0, 0]), lines);
        file.write_all_at(&bytes, 0).expect("written");
        let image = Image::open(&file, Limits::default()).expect("an ELF file");
        let program = Program::new(image);
        for at in [0x1010, 0x1020] {
            let place = program.place(LinkedAddress(at), 0);
            let name = format!("work+{:#x}", at - 0x1000);
            assert_eq!(place.location.as_deref(), Some(&*name));
            assert_eq!(place.missing, missing);
            let line = (more_than == kept).then_some("a.c:1");
            assert_eq!(place.source.as_deref(), line);
        }
    }
}

#[test]
fn units_without_end_are_counted() {
    // Units of eleven bytes and an entry, each with the same long table of abbreviations.
    let mut abbreviations = abbreviations();
    abbreviations.truncate(abbreviations.len() - 1);
    for code in 0..20_000_u32 {
        abbreviations.extend([
            0x80 | (code & 0x7f) as u8,
            0x80 | (code >> 7 & 0x7f) as u8,
            1,
        ]);
        abbreviations.extend([0x2e, 0, 0, 0]);
    }
    abbreviations.push(0);
    let one = [
        &12_u32.to_le_bytes()[..],
        &[4, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0],
    ]
    .concat();
    let bytes = elf(&[
        Section::new(".debug_info", one.repeat(200_000)),
        Section::new(".debug_abbrev", abbreviations),
    ]);
    survives("units", &bytes);
}

/// A small program with everything in it, that this machine's compiler made.
fn honest() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("spin.c");
        let text = "static inline __attribute__((always_inline)) int leaf(int x)\n\
            { __asm__ volatile(\"nop; nop\" : \"+r\"(x)); return x; }\n\
            __attribute__((noinline)) int work(int x) { return leaf(x) + 1; }\n\
            int main(void) { return work(1) & 1; }\n";
        std::fs::write(&source, text).expect("a file");
        let program = folder.path().join("spin");
        let status = Command::new("cc")
            .args(["-O2", "-g", "-o"])
            .args([&program, &source])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "cc");
        std::fs::read(program).expect("a file")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Bytes of a real program, some of them changed, and its end cut.
    #[test]
    fn a_damaged_program_does_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = honest().to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        let open = || Image::from_bytes(bytes.clone().into(), LIMITS).ok();
        let copies = bytes.len() * 8;
        let taken = peak(|| { asked(open); });
        prop_assert!(taken <= (32 << 20) + copies, "{taken} bytes");
    }
}

#[test]
fn what_is_no_regular_file_is_refused() {
    for path in ["/dev/null", "/proc/self/status", "/"] {
        let file = File::open(path).expect("it is there");
        assert!(Image::open(&file, LIMITS).is_err(), "{path}");
    }
}

/// A mapping takes the address space of those of others: as much as a file says, whatever of it is on the disk.
#[test]
fn what_is_longer_than_any_program_is_refused() {
    let file = tempfile::tempfile().expect("a file");
    file.write_all_at(&elf(&[]), 0).expect("written");
    for (length, is_taken) in [(16 << 30, true), ((16 << 30) + 1, false)] {
        file.set_len(length).expect("sparse");
        let image = Image::open(&file, LIMITS);
        assert_eq!(image.is_ok(), is_taken, "{length}");
    }
}
