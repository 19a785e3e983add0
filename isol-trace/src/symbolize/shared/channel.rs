//! Packets between tracer and symbolizer, with a descriptor where one belongs to them.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
        sendmsg, socketpair,
    },
};

use super::protocol::MESSAGE;

/// Room for one descriptor.
const ONE_DESCRIPTOR: usize = rustix::cmsg_space!(ScmRights(1));

/// Both ends of a way for packets.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Sends a packet, and a descriptor with it. Never waits: there is room for any that the protocol sends, unless the
/// other end takes none.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    packet: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut room = [MaybeUninit::uninit(); ONE_DESCRIPTOR];
    let mut extra = SendAncillaryBuffer::new(&mut room);
    let descriptors = descriptor.as_slice();
    if descriptor.is_some() {
        extra.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = sendmsg(socket, &[IoSlice::new(packet)], &mut extra, flags)?;
    if sent == packet.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Waits for a packet and takes the descriptor that came with it. `None` where the other end is closed.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
    let mut room = [MaybeUninit::uninit(); ONE_DESCRIPTOR];
    let mut extra = RecvAncillaryBuffer::new(&mut room);
    let mut packet = vec![0; MESSAGE];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut packet)],
            &mut extra,
            flags,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    let mut descriptor = None;
    for message in extra.drain() {
        if let RecvAncillaryMessage::ScmRights(mut all) = message {
            descriptor = all.next();
        }
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    packet.truncate(received.bytes);
    Ok(Some((packet, descriptor)))
}

/// Waits until there is something to receive, be it that the other end is closed.
pub(crate) fn wait_until(socket: BorrowedFd<'_>, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
    let mut wait = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    match poll(&mut wait, Some(&timeout)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::INTR) => wait_until(socket, until),
        Err(error) => Err(error.into()),
    }
}

/// A packet of a stranger's, taken without any descriptor: the kernel drops those for which there is no room. `None`
/// where the other end is closed.
pub(crate) fn receive_plain(socket: BorrowedFd<'_>, until: Instant) -> io::Result<Option<Vec<u8>>> {
    wait_until(socket, until)?;
    let mut packet = vec![0; MESSAGE];
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut packet)],
        &mut RecvAncillaryBuffer::default(),
        RecvFlags::DONTWAIT,
    )?;
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    packet.truncate(received.bytes);
    Ok(Some(packet))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read as _, Seek as _, Write as _},
        time::Duration,
    };

    use super::*;

    #[test]
    fn a_descriptor_comes_with_its_packet() {
        let (ours, theirs) = pair().expect("a pair");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"text").expect("a file");
        file.rewind().expect("a file");
        send(ours.as_fd(), b"one", Some(file.as_fd())).expect("there is room");
        send(ours.as_fd(), b"two", None).expect("there is room");
        let (packet, descriptor) = receive(theirs.as_fd()).expect("a packet").expect("open");
        assert_eq!(packet, b"one");
        let mut text = String::new();
        let mut received = File::from(descriptor.expect("a descriptor"));
        received.read_to_string(&mut text).expect("a file");
        assert_eq!(text, "text");
        let (packet, descriptor) = receive(theirs.as_fd()).expect("a packet").expect("open");
        assert!(packet == b"two" && descriptor.is_none());
        drop(ours);
        assert!(receive(theirs.as_fd()).expect("its end").is_none());
    }

    /// Descriptors of a symbolizer that was taken over would fill the tracer's table.
    #[test]
    fn the_tracer_takes_no_descriptor() {
        let (ours, theirs) = pair().expect("a pair");
        let open = || std::fs::read_dir("/proc/self/fd").expect("ours").count();
        let file = tempfile::tempfile().expect("a file");
        let before = open();
        for _ in 0..50 {
            send(theirs.as_fd(), b"x", Some(file.as_fd())).expect("there is room");
            let soon = Instant::now() + Duration::from_mins(1);
            let packet = receive_plain(ours.as_fd(), soon).expect("a packet");
            assert_eq!(packet.as_deref(), Some(&b"x"[..]));
        }
        // Other tests run meanwhile, and open some.
        assert!(open() < before + 40, "{before}, {}", open());
    }

    #[test]
    fn nobody_waits_for_ever() {
        let (ours, _theirs) = pair().expect("a pair");
        let error = receive_plain(ours.as_fd(), Instant::now()).expect_err("nothing came");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // Nobody takes these.
        let full = (0..10_000).find_map(|_| send(ours.as_fd(), &[0; 4096], None).err());
        assert_eq!(full.expect("it ends").kind(), io::ErrorKind::WouldBlock);
    }
}
