//! BPF objects that the kernel holds.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use super::{btf, check};

/// Kinds of BPF objects that have numbers.
#[derive(Clone, Copy, Debug)]
pub enum BpfObject {
    /// `BPF_PROG_GET_NEXT_ID`.
    Program = 11,
    /// `BPF_MAP_GET_NEXT_ID`.
    Map = 12,
    /// `BPF_LINK_GET_NEXT_ID`.
    Link = 31,
}

/// How many BPF objects of a kind the kernel holds.
pub fn bpf_objects(kind: BpfObject) -> io::Result<usize> {
    let mut attr = [0_u32; 4];
    let mut count = 0;
    loop {
        // SAFETY: the attribute outlives the call, its size is the one given.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                kind as libc::c_long,
                attr.as_mut_ptr(),
                size_of_val(&attr),
            )
        };
        match check(answer) {
            Ok(_) => count += 1,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(count),
            Err(error) => return Err(error),
        }
        attr[0] = attr[1];
    }
}

/// Name and number of runs of every BPF program that the kernel holds. Runs are counted while BPF statistics
/// are on.
///
/// The name that a program is loaded by is cut to 15 bytes (`BPF_OBJ_NAME_LEN`, include/uapi/linux/bpf.h):
/// that of its function is whole, in its type information.
pub fn bpf_runs() -> io::Result<Vec<(String, u64)>> {
    let mut types = HashMap::new();
    let mut runs = Vec::new();
    let mut next = [0; 4];
    while call(BpfObject::Program as libc::c_long, &mut next).is_ok() {
        let id = next[1];
        next[0] = id;
        // It may be gone by now.
        let Ok(program) = handle(GET_PROGRAM, id) else {
            continue;
        };
        let info = ProgramInfo::read(&program)?;
        let types: &Vec<u8> = match types.entry(info.types) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(btf(info.types)?),
        };
        let name = btf::function_name(types, info.function).unwrap_or(info.name);
        runs.push((name, info.runs));
    }
    Ok(runs)
}

const GET_PROGRAM: libc::c_long = 13;
const GET_INFO: libc::c_long = 15;
const GET_BTF: libc::c_long = 19;

/// What the kernel says of a program.
struct ProgramInfo {
    name: String,
    /// The number of its type information; 0 for none.
    types: u32,
    /// The type of its function.
    function: u32,
    runs: u64,
}

impl ProgramInfo {
    fn read(program: &OwnedFd) -> io::Result<Self> {
        // Offsets in `struct bpf_prog_info`, as words (include/uapi/linux/bpf.h, v6.1 to v7.2).
        const NAME: usize = 64 / 8;
        const TYPES: usize = 128 / 8;
        const FUNCTIONS: usize = 136 / 8;
        const FUNCTION_COUNT: usize = 144 / 8;
        const RUN_COUNT: usize = 200 / 8;
        let mut info = [0_u64; 28];
        // `struct bpf_func_info` of the first of its functions: place and type.
        let mut function = [0_u32; 2];
        // In the upper half the size of that structure: asked for with another one, the kernel refuses
        // (kernel/bpf/syscall.c:set_info_rec_size, v6.12).
        info[TYPES] = (size_of_val(&function) as u64) << 32;
        info[FUNCTIONS] = function.as_mut_ptr().expose_provenance() as u64;
        info[FUNCTION_COUNT] = 1;
        ask(program, &mut info)?;
        let name: Vec<u8> = info[NAME..NAME + 2]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .take_while(|byte| *byte != 0)
            .collect();
        Ok(Self {
            name: String::from_utf8_lossy(&name).into_owned(),
            types: low(info[TYPES]),
            function: function[1],
            runs: info[RUN_COUNT],
        })
    }
}

/// The type information of this number; empty where it is 0.
fn btf(number: u32) -> io::Result<Vec<u8>> {
    if number == 0 {
        return Ok(Vec::new());
    }
    let handle = handle(GET_BTF, number)?;
    // `struct bpf_btf_info`: where to copy it to and how much of it, then its number, its name and its
    // length; the kernel answers with the whole size.
    let mut info = [0_u64; 4];
    ask(&handle, &mut info)?;
    let mut bytes = vec![0; low(info[1]) as usize];
    info = [
        bytes.as_mut_ptr().expose_provenance() as u64,
        u64::from(low(info[1])),
        0,
        0,
    ];
    ask(&handle, &mut info)?;
    Ok(bytes)
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
fn ask(of: &OwnedFd, info: &mut [u64]) -> io::Result<()> {
    let address = info.as_mut_ptr().expose_provenance() as u64;
    let of = u32::try_from(of.as_raw_fd()).map_err(io::Error::other)?;
    let length = u32::try_from(size_of_val(info)).map_err(io::Error::other)?;
    call(
        GET_INFO,
        &mut [of, length, low(address), low(address >> 32)],
    )
    .map(drop)
}

/// A handle of a BPF object.
fn handle(command: libc::c_long, number: u32) -> io::Result<OwnedFd> {
    let fd = call(command, &mut [number, 0, 0, 0])?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn call(command: libc::c_long, attr: &mut [u32; 4]) -> io::Result<libc::c_long> {
    // SAFETY: the attribute outlives the call, its size is the one given; an address in it, and those in
    // what it points to, are of buffers of ours that outlive the call too and are as long as it says.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), 16) })
}

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "that is what it does")]
const fn low(word: u64) -> u32 {
    word as u32
}
