//! BTF, the type information that the kernel holds of a BPF program (Documentation/bpf/btf.rst, v6.12).

use std::ffi::CStr;

const INT: usize = 1;
const ARRAY: usize = 3;
const STRUCT: usize = 4;
const UNION: usize = 5;
const ENUM: usize = 6;
const FUNCTION: usize = 12;
const FUNCTION_PROTOTYPE: usize = 13;
const VARIABLE: usize = 14;
const DATA_SECTION: usize = 15;
const DECLARATION_TAG: usize = 17;
const ENUM64: usize = 19;

/// The name of the function that is the type of this number. `None` where that is none.
pub(super) fn function_name(btf: &[u8], number: u32) -> Option<String> {
    // `struct btf_header`, after magic, version and flags: its length, and begin and length of the types
    // and of the names, counted from its end.
    let length = word(btf, 4)?;
    let names = length + word(btf, 16)?;
    let mut at = length + word(btf, 8)?;
    // Number 0 is `void`, which is not listed.
    for _ in 1..number {
        at += 12 + more(word(btf, at + 4)?);
    }
    if number == 0 || kind(word(btf, at + 4)?) != FUNCTION {
        return None;
    }
    let name = btf.get(names + word(btf, at)?..)?;
    let name = CStr::from_bytes_until_nul(name).ok()?;
    name.to_str().ok().map(str::to_owned)
}

fn word(btf: &[u8], at: usize) -> Option<usize> {
    let bytes = btf.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_ne_bytes(bytes)).ok()
}

const fn kind(info: usize) -> usize {
    (info >> 24) & 0x1f
}

/// Bytes of a type behind the twelve that each has.
const fn more(info: usize) -> usize {
    let members = info & 0xffff;
    match kind(info) {
        INT | VARIABLE | DECLARATION_TAG => 4,
        ARRAY => 12,
        STRUCT | UNION | DATA_SECTION | ENUM64 => 12 * members,
        ENUM | FUNCTION_PROTOTYPE => 8 * members,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type: its kind and members, its name, and how many words follow.
    fn built(types: &[(usize, u32, u32, usize)]) -> Vec<u8> {
        let names = b"\0of_another\0smp_call_function_single_async\0";
        let mut words: Vec<u32> = vec![0x0001_eb9f, 24, 0, 0, 0, 0];
        let info = |kind: usize| u32::try_from(kind).unwrap() << 24;
        for (kind, members, name, more) in types {
            words.extend([*name, info(*kind) | members, 0]);
            // As a function called by the other name, should anybody take it for a type.
            words.extend([1, info(FUNCTION), 0].iter().cycle().take(*more));
        }
        let length = u32::try_from(words.len() * 4 - 24).unwrap();
        words[3..6].copy_from_slice(&[length, length, u32::try_from(names.len()).unwrap()]);
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(names);
        bytes
    }

    const WANTED: (usize, u32, u32, usize) = (FUNCTION, 1, 12, 0);

    #[test]
    fn a_name_is_whole_whatever_types_come_first() {
        let name = "smp_call_function_single_async";
        for (kind, members, more) in [
            (INT, 0, 1),
            (2, 0, 0),
            (ARRAY, 0, 3),
            (STRUCT, 3, 9),
            (UNION, 1, 3),
            (ENUM, 3, 6),
            (7, 0, 0),
            (8, 0, 0),
            (FUNCTION, 1, 0),
            (FUNCTION_PROTOTYPE, 3, 6),
            (VARIABLE, 0, 1),
            (DATA_SECTION, 3, 9),
            (16, 0, 0),
            (DECLARATION_TAG, 0, 1),
            (18, 0, 0),
            (ENUM64, 3, 9),
        ] {
            let btf = built(&[(kind, members, 1, more), WANTED]);
            assert_eq!(function_name(&btf, 2).as_deref(), Some(name), "kind {kind}");
        }
    }

    #[test]
    fn what_is_no_function_has_no_name_of_one() {
        let btf = built(&[(STRUCT, 0, 1, 0), WANTED]);
        for number in [0, 1, 3, u32::MAX] {
            assert_eq!(function_name(&btf, number), None, "{number}");
        }
        assert_eq!(function_name(&[], 1), None, "a program without types");
        for length in 0..btf.len() {
            assert_eq!(function_name(&btf[..length], 2), None, "{length} bytes");
        }
    }
}
