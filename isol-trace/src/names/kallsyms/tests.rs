//! Tests of the table and of when it is read.

use std::fs;

use super::{lines::addresses, *};

/// A piece of a real file: aliases, data, a prefix symbol, modules, a BPF program.
const SAMPLE: &str = "\
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000080 T entry_SYSCALL_64
ffffffff811a2b30 t __pfx_clocksource_watchdog
ffffffff811a2b40 t clocksource_watchdog
ffffffff811a3000 T __pi_memcpy
ffffffff811a3000 W memcpy
ffffffff82a00000 D jiffies
ffffffffc0201000 t nvme_irq\t[nvme]
ffffffffc0201200 t nvme_pci_complete_rq\t[nvme]
ffffffffc0300000 t bpf_prog_6deef7357e7b4530_sd_devices\t[bpf]
ffffffffc0100000 t earlier_module_function\t[virtio_blk]
";

fn table(text: &str) -> Table {
    Table::read(text.as_bytes(), |_| true).expect("text is readable")
}

fn place(table: &Table, address: u64) -> Option<String> {
    table.place(Address(address)).map(|place| place.to_string())
}

#[test]
fn a_functions_address_is_its_name() {
    let table = table(SAMPLE);
    assert_eq!(
        place(&table, 0xffff_ffff_811a_2b40).as_deref(),
        Some("clocksource_watchdog")
    );
    assert_eq!(
        place(&table, 0xffff_ffff_811a_2b4f).as_deref(),
        Some("clocksource_watchdog+0xf")
    );
    assert_eq!(
        place(&table, 0xffff_ffff_c020_1000).as_deref(),
        Some("nvme_irq [nvme]")
    );
    assert_eq!(
        place(&table, 0xffff_ffff_c020_1210).as_deref(),
        Some("nvme_pci_complete_rq+0x10 [nvme]")
    );
}

#[test]
fn modules_need_not_be_in_the_order_of_their_addresses() {
    assert_eq!(
        place(&table(SAMPLE), 0xffff_ffff_c010_0008).as_deref(),
        Some("earlier_module_function+0x8 [virtio_blk]")
    );
}

#[test]
fn of_several_names_the_plain_one_is_taken() {
    let table = table(SAMPLE);
    assert_eq!(
        place(&table, 0xffff_ffff_811a_3000).as_deref(),
        Some("memcpy")
    );
    assert_eq!(
        place(&table, 0xffff_ffff_8100_0000).as_deref(),
        Some("_stext"),
        "the file's first among equals"
    );
}

#[test]
fn what_is_no_function_gives_no_name() {
    let table = table(SAMPLE);
    assert_eq!(place(&table, 0x40_1000), None, "user space");
    assert_eq!(place(&table, 0xffff_ffff_82a0_0000), None, "data");
    assert_eq!(place(&table, u64::MAX), None, "behind everything");
    assert_eq!(place(&Table::default(), u64::MAX), None, "an empty table");
}

#[test]
fn odd_lines_cost_only_themselves() {
    let table = table("\nnonsense\nffffffff81000000\nzz T a\nffffffff81000010 T kept\n");
    assert_eq!(
        place(&table, 0xffff_ffff_8100_0010).as_deref(),
        Some("kept")
    );
    assert!(!table.hidden);
}

fn root(kallsyms: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("proc")).expect("a folder");
    fs::write(root.path().join("proc/kallsyms"), kallsyms).expect("a file");
    root
}

#[test]
fn hidden_addresses_are_told_with_the_setting_that_hides_them() {
    let root = root("0000000000000000 T _stext\n0000000000000000 t nvme_irq\t[nvme]\n");
    let mut symbols = KernelSymbols::new(root.path());
    assert_eq!(symbols.warning(), None, "nothing is read yet");
    assert_eq!(symbols.place(Address(0xffff_ffff_8100_0000)), None);
    let warning = symbols.warning().expect("all addresses are zero");
    assert!(warning.contains("kernel.kptr_restrict"), "{warning}");
}

#[test]
fn zeros_among_real_addresses_are_no_complaint() {
    let root = root("0000000000000000 A fixed_percpu_data\nffffffff81000000 T _stext\n");
    let mut symbols = KernelSymbols::new(root.path());
    assert!(symbols.place(Address(0xffff_ffff_8100_0000)).is_some());
    assert_eq!(symbols.warning(), None);
}

#[test]
fn a_missing_file_is_told_by_name() {
    let root = tempfile::tempdir().expect("a folder");
    let mut symbols = KernelSymbols::new(root.path());
    assert_eq!(symbols.place(Address(0xffff_ffff_8100_0000)), None);
    let warning = symbols.warning().expect("there is no file");
    assert!(warning.contains("proc/kallsyms"), "{warning}");
}

/// Waits for a reading under way and takes it.
fn finish(symbols: &mut KernelSymbols) {
    let begun = Instant::now();
    while symbols.reading.is_some() && begun.elapsed() < Duration::from_mins(1) {
        thread::sleep(Duration::from_millis(1));
        symbols.take_reading();
    }
    assert!(symbols.reading.is_none(), "it takes no minute");
}

#[test]
fn an_address_of_a_later_module_makes_the_file_be_read_again() {
    let root = root("ffffffff81000000 T _stext\n");
    let mut symbols = KernelSymbols::new(root.path());
    let late = Address(0xffff_ffff_c020_1000);
    assert_eq!(symbols.place(late), None);
    assert!(symbols.reading.is_none(), "not again at once");
    fs::write(root.path().join("proc/kallsyms"), SAMPLE).expect("a file");
    symbols.reread_after = Duration::ZERO;
    assert_eq!(symbols.place(Address(0x40_1000)), None);
    assert!(
        symbols.reading.is_none(),
        "not for an address of user space"
    );
    symbols.place(late);
    finish(&mut symbols);
    assert_eq!(symbols.reread_after, REREAD_AFTER, "it helped");
    let name = |symbols: &mut KernelSymbols, address| {
        symbols
            .place(Address(address))
            .map(|place| place.to_string())
    };
    assert_eq!(
        name(&mut symbols, late.0).as_deref(),
        Some("nvme_irq [nvme]")
    );
    assert_eq!(
        name(&mut symbols, 0xffff_ffff_8100_0000).as_deref(),
        Some("_stext"),
        "the kernel's own stay"
    );
    assert_eq!(
        name(&mut symbols, 0xffff_ffff_811a_2b40),
        None,
        "and are not read again"
    );
}

/// Whoever asks has rings to drain: a file that is slow to read does not stop them.
#[test]
fn nobody_waits_for_a_second_reading() {
    let root = root("ffffffff81000000 T _stext\n");
    let mut symbols = KernelSymbols::new(root.path());
    symbols.prepare();
    symbols.reread_after = Duration::ZERO;
    let file = root.path().join("proc/kallsyms");
    fs::remove_file(&file).expect("removed");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &file,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a pipe");
    let late = Address(0xffff_ffff_c020_1000);
    for _ in 0..3 {
        assert_eq!(symbols.place(late), None);
        assert!(symbols.reading.is_some(), "the pipe has nothing in it");
    }
    // Opening it waits for the reader that is there already.
    fs::write(&file, SAMPLE).expect("a pipe");
    finish(&mut symbols);
    let place = symbols.place(late).expect("it came");
    assert_eq!(place.to_string(), "nvme_irq [nvme]");
}

/// A module that came to where another one had been is told from it by its nearer function.
#[test]
fn the_latest_of_two_modules_at_one_address_is_named() {
    let root = root("ffffffffc0201000 t old_function\t[old]\n");
    let mut symbols = KernelSymbols::new(root.path());
    symbols.prepare();
    fs::write(root.path().join("proc/kallsyms"), SAMPLE).expect("a file");
    symbols.reread_after = Duration::ZERO;
    assert_eq!(symbols.place(Address(0xffff_ffff_c010_0000)), None);
    finish(&mut symbols);
    let place = symbols
        .place(Address(0xffff_ffff_c020_1000))
        .expect("a function");
    assert_eq!(place.to_string(), "nvme_irq [nvme]");
}

#[test]
fn readings_that_do_not_help_become_rarer() {
    let root = root("ffffffff81000000 T _stext\n");
    let mut symbols = KernelSymbols::new(root.path());
    symbols.prepare();
    symbols.reread_after = Duration::from_nanos(1);
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(1));
        let nowhere = Address(0xffff_ffff_c020_1000);
        assert_eq!(symbols.place(nowhere), None);
        finish(&mut symbols);
    }
    assert_eq!(symbols.reread_after, Duration::from_nanos(8));
}

#[test]
fn a_large_kernel_fits_its_budget() {
    use std::fmt::Write;
    let mut text = String::new();
    for index in 0..200_000_u64 {
        let address = 0xffff_ffff_8100_0000 + index * 64;
        writeln!(text, "{address:x} t a_function_of_usual_length_{index}").expect("memory");
    }
    let table = table(&text);
    assert_eq!(table.functions.len(), 200_000);
    let bytes = table.functions.capacity() * size_of::<Function>() + table.names.capacity();
    assert!(bytes < 12 << 20, "{bytes} bytes");
    assert_eq!(size_of::<Function>(), 16);
}

/// Variables of the kernel, for those who read them; names are compared whole, and modules' are not the kernel's.
#[test]
fn addresses_of_variables_are_found() {
    let text = "\
0000000000000000 A fixed_percpu_data
0000000000034ed0 D __preempt_count
ffffffff82a0c0e0 d __per_cpu_offset_of_another
ffffffff82a0c0e0 D __per_cpu_offset
ffffffffc0201000 d jiffies\t[nvme]
ffffffff82a00000 D jiffies
";
    let found = |names| addresses(text.as_bytes(), names).expect("text is readable");
    assert_eq!(
        found(["__per_cpu_offset", "__preempt_count"]),
        [Some(0xffff_ffff_82a0_c0e0), Some(0x34ed0)]
    );
    assert_eq!(
        found(["pcpu_hot", "jiffies"]),
        [None, Some(0xffff_ffff_82a0_0000)]
    );
    addresses_of(Path::new("/nowhere"), ["jiffies"]).expect_err("no such file");
}
