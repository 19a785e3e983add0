mod stacks;

use std::{
    fmt::Write as _,
    os::unix::fs::{FileExt as _, MetadataExt as _, symlink},
};

use super::*;
use crate::symbolize::{
    Image,
    parent::{
        files,
        symbolizer::tests::{bar, means},
    },
};

/// A function whose name and line are asked for below: an address in it, and a line just behind that address's.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn a_known_function_of_the_test(line: &mut u32) -> u64 {
    let address: u64;
    // SAFETY: one instruction that computes an address; it touches nothing else.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("lea {}, [rip]", out(reg) address, options(nomem, nostack));
    }
    // SAFETY: one instruction that computes an address; it touches nothing else.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("adr {}, .", out(reg) address, options(nomem, nostack));
    }
    *line = line!();
    address
}

/// What root asks.
const ROOTS: Reader = Reader {
    payer: Payer::ROOT,
    has_bars: false,
};

fn own() -> Pid {
    Pid(std::process::id())
}

fn symbols() -> UserSymbols {
    UserSymbols::of_tests(Path::new("/"))
}

#[test]
fn a_known_function_gives_its_name_and_line() {
    let mut behind = 0;
    let address = Address(a_known_function_of_the_test(&mut behind));
    let place = symbols().place(own(), address);
    let location = place.location.expect("this binary has symbols");
    let offset = location
        .strip_prefix("a_known_function_of_the_test+0x")
        .unwrap_or_else(|| panic!("{location}"));
    assert!(u64::from_str_radix(offset, 16).is_ok_and(|offset| offset < 0x100));
    let source = place.source.expect("this binary has debug information");
    let line = source.strip_prefix("tests.rs:").expect("this file");
    let line: u32 = line.parse().expect("a line");
    assert!((behind - 11..behind).contains(&line), "{line}, {behind}");
}

/// A stranger runs anybody's program, until it is barred for that stranger.
#[test]
fn a_file_that_is_barred_in_processes_of_one_user_is_read_for_others() {
    let mut symbols = symbols();
    let address = Address(a_known_function_of_the_test(&mut 0));
    let process = symbols
        .processes
        .with_code_at(own(), address, &mut symbols.symbolizer)
        .expect("it runs");
    let mapping = process.maps.find(address).expect("its code");
    let Backing::File { path, file } = &mapping.backing else {
        panic!("{mapping:?}");
    };
    let find = |symbols: &mut UserSymbols, payer| {
        let reader = symbols.reader(payer);
        let mapped = Mapped {
            mapping,
            path: path.path(),
            file: *file,
        };
        let (processes, files) = (&symbols.processes, &mut symbols.files);
        let found = processes.file(files, own(), &process, mapped, reader);
        found.expect("it is there")
    };
    let stranger = Payer::User(7);
    let file = find(&mut symbols, stranger);
    let used = symbols.files.used(file, stranger).expect("known");
    bar(&mut symbols.symbolizer, &used);
    let offset = mapping.file_offset(address);
    assert_eq!(symbols.resolve_offset(file, stranger, offset, 0), None);
    let place = symbols.resolve_offset(file, process.payer, offset, 0);
    let name = place.expect("another's").location.expect("it has symbols");
    assert!(name.starts_with("a_known_function_of_the_test"), "{name}");
    // What is found for the stranger, without what it may not have, is nobody else's.
    assert_ne!(find(&mut symbols, stranger), file);
    assert_eq!(find(&mut symbols, process.payer), file);
}

/// A process may end before its file is opened, and another one have the same file.
#[test]
fn a_file_that_could_not_be_opened_once_is_read_later() {
    let tree = tempfile::tempdir().expect("a folder");
    let [program, away] = ["program", "away"].map(|name| tree.path().join(name));
    fs::copy("/proc/self/exe", &program).expect("a copy");
    let root = Arc::new(File::open(tree.path()).expect("it is there"));
    let mut symbols = symbols();
    let place = files::Place::Below(root.clone(), "program".into());
    let file = symbols
        .files
        .find(place, &root, Path::new("program"), None, ROOTS)
        .expect("it is there");
    let address = Address(a_known_function_of_the_test(&mut 0));
    let maps = UserMaps::parse(&fs::read("/proc/self/maps").expect("our own maps"));
    let offset = maps.find(address).expect("its code").file_offset(address);
    fs::rename(&program, &away).expect("ours");
    assert_eq!(symbols.resolve_offset(file, Payer::ROOT, offset, 0), None);
    fs::rename(&away, &program).expect("ours");
    let place = symbols.resolve_offset(file, Payer::ROOT, offset, 0);
    let name = place.expect("it is back").location.expect("it has symbols");
    assert!(name.starts_with("a_known_function_of_the_test"), "{name}");
}

#[test]
fn an_address_without_code_gives_nothing() {
    assert_eq!(symbols().place(own(), Address(8)), UserPlace::default());
}

#[test]
fn the_vdso_has_names() {
    let text = fs::read_to_string("/proc/self/maps").expect("our own maps");
    let line = text
        .lines()
        .find(|line| line.ends_with("[vdso]"))
        .expect("every process has one");
    let (start, _) = line.split_once('-').expect("a range");
    let start = u64::from_str_radix(start, 16).expect("an address");
    let place = symbols().place(own(), Address(start + 0x800));
    assert!(place.location.is_some(), "{place:?}");
}

/// A process that is gone still has its places, once one of them was asked for; one never seen has none.
#[test]
fn a_dead_process_is_resolved_from_what_was_known() {
    let mut child = std::process::Command::new("sleep")
        .arg("100")
        .spawn()
        .expect("every Linux has sleep");
    let pid = Pid(child.id());
    // The parent gets here before the child has executed `sleep`; wait for its own code.
    let code = loop {
        let text = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
        let own = text
            .lines()
            .find(|line| line.contains(" r-xp ") && line.contains("bin/"));
        if let Some(line) = own.filter(|line| !line.contains("isol")) {
            let (start, _) = line.split_once('-').expect("a range");
            break u64::from_str_radix(start, 16).expect("an address");
        }
    };
    let mut seen = symbols();
    let alive = seen.place(pid, Address(code + 0x100));
    assert!(alive.location.is_some(), "{alive:?}");
    child.kill().expect("it lives");
    child.wait().expect("it was killed");
    let dead = seen.place(pid, Address(code + 0x200));
    assert!(dead.location.is_some(), "{dead:?}");
    let unseen = symbols().place(pid, Address(code + 0x100));
    assert_eq!(unseen, UserPlace::default());
    seen.processes.forget(pid);
    let forgotten = seen.place(pid, Address(code + 0x200));
    assert_eq!(forgotten, UserPlace::default());
}

/// A tree whose process maps a file that is no ELF file.
#[test]
fn a_file_without_symbols_gives_its_name_and_the_offset() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("spin");
    fs::write(&file, "no ELF file").expect("a file");
    let inode = fs::metadata(&file).expect("the file").ino();
    fs::create_dir_all(root.path().join("proc/7")).expect("a folder");
    let maps = format!(
        "00401000-00480000 r-xp 00001000 00:00 {inode} /spin\n\
         00500000-00501000 r-xp 00000000 00:00 1 /replaced\n"
    );
    fs::write(root.path().join("proc/7/maps"), maps).expect("a file");
    let mut symbols = UserSymbols::of_tests(root.path());
    let place = symbols.place(Pid(7), Address(0x40_16de));
    assert_eq!(place.location.as_deref(), Some("[spin]+0x16de"));
    assert_eq!(place.source, None);
    let place = symbols.place(Pid(7), Address(0x50_0010));
    assert_eq!(place.location.as_deref(), Some("[replaced]+0x10"));
}

/// Inlined whatever the level of optimisation: it gives an address inside itself, and its line.
#[cfg(target_arch = "x86_64")]
#[expect(clippy::inline_always, reason = "what is tested is that it is inlined")]
#[inline(always)]
fn an_inlined_function_of_the_test() -> (u64, u32) {
    let address: u64;
    // SAFETY: one instruction that computes an address; it touches nothing else.
    unsafe {
        std::arch::asm!("lea {}, [rip]", out(reg) address, options(nomem, nostack));
    }
    (address, line!())
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::inline_always, reason = "what is tested is that it is inlined")]
#[inline(always)]
fn a_function_that_inlines_it() -> (u64, u32, u32) {
    let (address, line) = an_inlined_function_of_the_test();
    (address, line, line!())
}

/// The innermost is the place, since it is the program's own; all of them are listed.
#[cfg(target_arch = "x86_64")]
#[test]
fn inlined_functions_are_told_from_the_inside_out() {
    let (address, line, middle) = a_function_that_inlines_it();
    let place = symbols().place(own(), Address(address));
    let location = place.location.expect("this binary has symbols");
    assert!(
        location.contains("an_inlined_function_of_the_test"),
        "{location}"
    );
    let source = place.source.expect("this binary has debug information");
    let [first, second, outer] = &*place.inlined else {
        panic!("{:?}", place.inlined)
    };
    assert!(first.ends_with(&format!(" ({source})")), "{first}");
    assert!(
        outer.contains("inlined_functions_are_told_from_the_inside_out+0x"),
        "{outer}"
    );
    let within = |text: &str, name: &str, behind: u32| {
        let line = text
            .split_once(&format!("{name} (tests.rs:"))
            .and_then(|(_, line)| line.strip_suffix(')')?.parse::<u32>().ok());
        assert!(
            line.is_some_and(|line| (behind - 3..=behind).contains(&line)),
            "{text}"
        );
    };
    within(first, "an_inlined_function_of_the_test", line);
    within(second, "a_function_that_inlines_it", middle);
}

/// A process that has ended had the same vDSO.
#[test]
fn the_vdso_of_a_dead_process_has_names() {
    let vdso = symbols().own_vdso().expect("every process has one");
    let mut child = std::process::Command::new("sleep")
        .arg("100")
        .spawn()
        .expect("every Linux has sleep");
    let pid = Pid(child.id());
    let mut symbols = symbols();
    let (start, code) = loop {
        // The parent may get here before the child has executed `sleep`.
        let process = symbols.processes.learn(pid, &mut symbols.symbolizer);
        let process = process.expect("it lives");
        if let Some(theirs) = process.maps.named("[vdso]")
            && theirs.start != vdso.start
        {
            break (theirs.start, theirs.end - theirs.start);
        }
    };
    assert_eq!(code, vdso.end - vdso.start);
    child.kill().expect("it lives");
    child.wait().expect("it was killed");
    let dead = symbols.place(pid, Address(start + 0x800));
    let alive = symbols.place(own(), Address(vdso.start + 0x800));
    assert!(
        dead.location.is_some() && dead == alive,
        "{dead:?}, {alive:?}"
    );
}

/// Nobody saw the first one go: the number is another process's by now.
#[test]
fn a_number_that_serves_again_gives_the_new_programs_names() {
    let tree = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: String| {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    };
    let becomes = |program: &str, vector: &str| {
        write(&format!("bin/{program}"), "no ELF file".to_owned());
        let file = fs::metadata(tree.path().join("bin").join(program)).expect("it is there");
        let maps = format!(
            "00401000-00480000 r-xp 00001000 00:00 {} /bin/{program}\n",
            file.ino()
        );
        write("proc/7/maps", maps);
        write("proc/7/auxv", vector.to_owned());
    };
    let mut symbols = UserSymbols::of_tests(tree.path());
    let mut location = || symbols.place(Pid(7), Address(0x40_1010)).location;
    becomes("old", "one");
    assert_eq!(location().as_deref(), Some("[old]+0x1010"));
    becomes("new", "one");
    assert_eq!(
        location().as_deref(),
        Some("[old]+0x1010"),
        "it is remembered"
    );
    becomes("new", "two");
    assert_eq!(location().as_deref(), Some("[new]+0x1010"));
    fs::remove_dir_all(tree.path().join("proc/7")).expect("removed");
    assert_eq!(location().as_deref(), Some("[new]+0x1010"), "dead");
}

/// What a process executes is read when it does: it may have ended when its first place is asked for.
#[test]
fn what_is_executed_is_read_at_once() {
    let mut child = std::process::Command::new("sleep")
        .arg("100")
        .spawn()
        .expect("every Linux has sleep");
    let pid = Pid(child.id());
    let here = Address(what_is_executed_is_read_at_once as *const () as u64);
    let mut symbols = symbols();
    symbols.executed(pid);
    child.kill().expect("it lives");
    child.wait().expect("it was killed");
    let process = symbols
        .processes
        .with_code_at(pid, here, &mut symbols.symbolizer);
    assert!(process.is_some());
}

/// A program without symbols in a tree whose debug information is known by its build-id, in the
/// root directory of the process.
#[test]
fn a_build_id_leads_to_names() {
    let tree = tempfile::tempdir().expect("a folder");
    let exe = std::env::current_exe().expect("this test");
    let here = Address(a_build_id_leads_to_names as *const () as u64);
    let text = fs::read("/proc/self/maps").expect("our own maps");
    let maps = UserMaps::parse(&text);
    let mapping = maps.find(here).expect("we run there");
    let file = File::open(&exe).expect("this test");
    let image = Image::open(&file, crate::symbolize::Limits::default()).expect("a program");
    let build_id = image.build_id().expect("the linker writes one").to_vec();
    let put = |path: &str, bytes: &[u8]| {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, bytes).expect("a file");
        path
    };
    // Its beginning, with the program's headers and notes, and no section: no symbol is in it.
    let mut head = vec![0; 4096];
    file.read_exact_at(&mut head, 0).expect("this test");
    // `e_shoff`, and `e_shnum` with `e_shstrndx`.
    head[0x28..0x30].fill(0);
    head[0x3c..0x40].fill(0);
    let root = "proc/7/root";
    let stripped = put(&format!("{root}/bin/spin"), &head);
    let size = file.metadata().expect("this test").len();
    let stripped = fs::OpenOptions::new()
        .write(true)
        .open(stripped)
        .expect("a file");
    stripped.set_len(size).expect("a sparse file");
    let line = format!(
        "{:x}-{:x} r-xp {:08x} 00:00 {} /bin/spin\n",
        mapping.start,
        mapping.end,
        mapping.offset,
        stripped.metadata().expect("a file").ino(),
    );
    put("proc/7/maps", line.as_bytes());
    for (process, namespace) in [("self", "mnt:[1]"), ("7", "mnt:[2]")] {
        let folder = tree.path().join(format!("proc/{process}/ns"));
        fs::create_dir_all(&folder).expect("folders");
        symlink(namespace, folder.join("mnt")).expect("a link");
    }
    let place = |tree: &Path| UserSymbols::of_tests(tree).place(Pid(7), here);
    let without = place(tree.path()).location.expect("its file has a name");
    assert!(without.starts_with("[spin]+0x"), "{without}");
    let hex = build_id.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("memory");
        hex
    });
    let debug = format!("usr/lib/debug/.build-id/{}/{}.debug", &hex[..2], &hex[2..]);
    // In the tracer's root it is of no use: that of the process is another one.
    let whole = fs::read(&exe).expect("this test");
    put(&debug, &whole);
    assert_eq!(place(tree.path()).location, Some(without));
    put(&format!("{root}/{debug}"), &whole);
    let found = place(tree.path());
    let location = found.location.expect("its debug information has names");
    assert!(location.contains("a_build_id_leads_to_names"), "{location}");
    assert!(
        found
            .source
            .is_some_and(|line| line.starts_with("tests.rs:"))
    );
}

/// What a stranger puts in the place of its own files: nobody waits for it, and others have their names.
#[test]
fn a_process_whose_file_is_a_fifo_has_no_names_and_others_do() {
    let tree = tempfile::tempdir().expect("a folder");
    let folder = tree.path().join("proc/7");
    fs::create_dir_all(&folder).expect("folders");
    fs::create_dir_all(tree.path().join("tmp")).expect("a folder");
    let fifo = |path: &str| {
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        let path = tree.path().join(path);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).expect("a FIFO");
        fs::metadata(path).expect("it is there").ino()
    };
    let inode = fifo("spin");
    fifo("tmp/perf-7.map");
    symlink("mnt:[1]", folder.join("ns")).expect("a link");
    let maps = format!(
        "00401000-00480000 r-xp 00001000 00:00 {inode} /spin\n7f0000000000-7f0000001000 r-xp 0 00:00 0\n"
    );
    fs::write(folder.join("maps"), maps).expect("a file");
    let mut symbols = UserSymbols::of_tests(tree.path());
    let place = symbols.place(Pid(7), Address(0x40_16de));
    assert_eq!(place.location.as_deref(), Some("[spin]+0x16de"));
    for address in [0x7f00_0000_0010, 0x7f00_0000_0020] {
        let place = symbols.place(Pid(7), Address(address));
        assert_eq!(place.location, None);
    }
    let said = symbols.take_sentences();
    assert!(
        said.len() == 1 && said[0].contains("process 7 ") && said[0].contains("--perf-basic-prof"),
        "{said:?}"
    );
    let here = a_process_whose_file_is_a_fifo_has_no_names_and_others_do as *const () as u64;
    let place = self::symbols().place(own(), Address(here));
    assert!(
        place
            .location
            .is_some_and(|it| it.contains("a_fifo_has_no_names"))
    );
}

/// Without the process that reads programs' files there are no names, and one sentence.
#[test]
fn without_a_symbolizer_places_are_offsets() {
    let mut means = means();
    means.starter.program = "/no/such/program".into();
    let mut symbols = UserSymbols::start(Path::new("/"), &means, None);
    let here = without_a_symbolizer_places_are_offsets as *const () as u64;
    assert_eq!(symbols.place(own(), Address(here)), UserPlace::default());
    let said = symbols.take_sentences();
    assert!(
        said.len() == 1 && said[0].contains("cannot be started"),
        "{said:?}"
    );
}

#[test]
fn a_debug_directory_that_is_gone_is_said() {
    let mut means = means();
    means.debug_dirs = vec!["/no/such/directory".into()];
    let mut symbols = UserSymbols::start(Path::new("/"), &means, None);
    let said = symbols.take_sentences();
    assert!(
        said.len() == 1 && said[0].contains("/no/such/directory"),
        "{said:?}"
    );
}
