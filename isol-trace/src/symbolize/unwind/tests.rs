use super::*;

/// A call that never ends: the bytes repeat themselves.
#[test]
fn the_number_of_frames_is_bounded() {
    let code = |of| Code {
        start: 0x1000,
        end: 0x2000,
        offset: 0,
        of,
    };
    // Frame pointers, each to the next, and the same address to return to.
    let sp = 0x10_0000;
    let bytes: Vec<u8> = (1..=256_u64)
        .flat_map(|frame| [sp + 16 * frame, 0x1234])
        .flat_map(u64::to_le_bytes)
        .collect();
    let stack = Stack {
        space: 1,
        ip: 0x1000,
        sp,
        bp: sp,
        base: sp,
        bytes,
    };
    let frames = unwind(&stack, |address| {
        (0x1000..0x2000).contains(&address).then(|| Found {
            code: code(CodeOf::Anonymous),
            table: None,
        })
    });
    assert_eq!(frames.len(), FRAMES);
    assert!(frames[1..].iter().all(|frame| *frame == (0x1234, true)));
    // The same in a file without tables: whether it has frame pointers is not known.
    let frames = unwind(&stack, |_| {
        Some(Found {
            code: code(CodeOf::Unknown),
            table: None,
        })
    });
    assert_eq!(frames.len(), 1);
}
