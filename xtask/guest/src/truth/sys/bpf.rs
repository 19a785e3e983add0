//! BPF objects that the kernel holds.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use super::check;

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

/// Name and number of runs of every BPF program that the kernel holds. Runs are
/// counted while BPF statistics are on.
pub fn bpf_runs() -> io::Result<Vec<(String, u64)>> {
    const GET_FD_BY_ID: libc::c_long = 13;
    const GET_INFO_BY_FD: libc::c_long = 15;
    // Offsets in `struct bpf_prog_info` (include/uapi/linux/bpf.h, unchanged since 5.1).
    const NAME: usize = 64;
    const RUN_COUNT: usize = 200;
    let bpf = |command: libc::c_long, attr: &mut [u32; 4]| {
        // SAFETY: the attribute outlives the call, its size is the one given; an
        // address in it is that of a buffer that outlives the call too.
        check(unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), 16) })
    };
    let mut runs = Vec::new();
    let mut next = [0; 4];
    while bpf(BpfObject::Program as libc::c_long, &mut next).is_ok() {
        let id = next[1];
        next[0] = id;
        let Ok(fd) = bpf(GET_FD_BY_ID, &mut [id, 0, 0, 0]) else {
            continue;
        };
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        let mut info = [0_u64; 28];
        let address = info.as_mut_ptr().addr() as u64;
        let (low, high) = (address & u64::from(u32::MAX), address >> 32);
        let number = |value: u64| u32::try_from(value).map_err(io::Error::other);
        let handle = u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)?;
        let length = number(size_of_val(&info) as u64)?;
        bpf(
            GET_INFO_BY_FD,
            &mut [handle, length, number(low)?, number(high)?],
        )?;
        let name: Vec<u8> = info[NAME / 8..NAME / 8 + 2]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .take_while(|byte| *byte != 0)
            .collect();
        runs.push((
            String::from_utf8_lossy(&name).into_owned(),
            info[RUN_COUNT / 8],
        ));
    }
    Ok(runs)
}
