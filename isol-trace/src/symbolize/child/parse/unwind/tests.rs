use super::*;

/// All that is asked for lies in this, which has no table.
struct Everywhere(Code);

impl Finder for Everywhere {
    fn find(&mut self, address: u64) -> Option<Found> {
        let code = self.0;
        let lies_in = (code.start..code.end).contains(&address);
        lies_in.then_some(Found { code, table: None })
    }

    fn return_to(&mut self, _: &Code) -> Option<()> {
        panic!("there is one alone")
    }
}

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
    let frames = unwind(&stack, &mut Everywhere(code(CodeOf::Anonymous)));
    assert_eq!(frames.len(), FRAMES);
    assert!(frames[1..].iter().all(|frame| *frame == (0x1234, true)));
    // The same in a file without tables: whether it has frame pointers is not known.
    let frames = unwind(&stack, &mut Everywhere(code(CodeOf::Unknown)));
    assert_eq!(frames.len(), 1);
}
