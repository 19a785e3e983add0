use super::*;

#[test]
fn this_program_has_tables_and_says_where_it_is_linked() {
    let own = std::fs::read("/proc/self/exe").expect("this test");
    let table = Table::parse(&own).expect("a program of this architecture");
    assert!(table.eh_frame.is_some() && table.eh_frame_hdr.is_some());
    assert!(table.bytes() > 0);
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
}

#[test]
fn what_is_no_program_has_none() {
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01\0"] {
        assert!(Table::parse(bytes).is_none(), "{bytes:?}");
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
