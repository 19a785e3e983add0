use std::path::Path;

use super::*;

#[test]
fn this_program_has_tables_and_says_where_it_is_linked() {
    let mut tables = Tables::default();
    let own = std::env::current_exe().expect("this test");
    let table = tables
        .of_file(&own)
        .expect("a program of this architecture");
    assert!(table.eh_frame.is_some() && table.eh_frame_hdr.is_some());
    assert!(table.bytes() > 0 && tables.bytes == table.bytes());
    let code = table.text.as_ref().expect("code").start;
    let segment = table
        .segments
        .iter()
        .find(|segment| {
            (segment.address..segment.address + (segment.file.end - segment.file.start))
                .contains(&code)
        })
        .expect("it is loaded");
    let offset = segment.file.start + (code - segment.address);
    assert_eq!(table.linked_address(offset), Some(code));
    assert_eq!(table.linked_address(u64::MAX), None);
    let again = tables.of_file(&own).expect("as before");
    assert!(Arc::ptr_eq(&table, &again), "read once");
}

#[test]
fn what_is_no_program_has_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tables = Tables::default();
    assert!(tables.of_file(Path::new("/no/such/file")).is_none());
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"#!/bin/sh\n"),
        ("half", b"\x7fELF\x02\x01\x01\0"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        assert!(tables.of_file(&path).is_none(), "{name}");
    }
}

/// A program cut off in the middle: whatever is left of it, it makes nothing panic.
#[test]
fn a_program_cut_off_is_no_danger() {
    let own = std::fs::read("/proc/self/exe").expect("this test");
    for length in [64, 100, 4096, own.len() / 2] {
        let table = Table::parse(&own[..length]);
        assert!(
            table.is_none_or(|table| table.eh_frame.is_none()),
            "{length}"
        );
    }
}

#[test]
fn the_budget_holds() {
    let mut tables = Tables {
        bytes: BUDGET,
        ..Tables::default()
    };
    let own = std::env::current_exe().expect("this test");
    let table = tables.of_file(&own).expect("it is read all the same");
    assert_eq!(tables.bytes, table.bytes(), "what was there had to go");
    assert_eq!(tables.files.len(), 1);
}
