//! Causes that the loopback device makes.

use std::{
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};

use super::{Kept, busy::Busy, shell};
use crate::truth::{
    guest::{Guest, Setting},
    sys,
};

/// Any port.
const HERE: &str = "127.0.0.1:0";

fn up() -> Result<()> {
    shell("ip link set lo up")
}

/// Packets that are steered to the watched CPU, since their receiver asks for them there (RFS). Masks of
/// RPS alone steer to no isolated CPU: the kernel takes those out of them, and refuses one that is empty
/// then (`rps_cpumask_housekeeping`, net/core/net-sysfs.c, v6.12).
pub(super) fn steered(guest: &Guest) -> Result<Kept> {
    up()?;
    let kept = [
        Setting::change("/proc/sys/net/core/rps_sock_flow_entries", "64")?,
        Setting::change("/sys/class/net/lo/queues/rx-0/rps_flow_cnt", "64")?,
    ];
    let (sender, receiver) = (UdpSocket::bind(HERE)?, UdpSocket::bind(HERE)?);
    // The kernel notes where a socket with a peer receives (sock_rps_record_flow, include/net/rps.h, v6.12).
    sender.connect(receiver.local_addr()?)?;
    receiver.connect(sender.local_addr()?)?;
    receiver.set_nonblocking(true)?;
    let busy = Busy::on(guest.cpu(), Duration::from_millis(20), move || {
        // There is nothing most of the time.
        let _ = receiver.recv(&mut [0]);
    })?;
    Ok(Box::new(move || {
        let _ = (&kept, &busy);
        sender.send(b"x").context("a packet")?;
        Ok(())
    }))
}

/// A timer of the kernel that is armed on a watched CPU again and again: a connection is asked a second later
/// whether its peer is still there. Its own function arms it there as well, whatever the setting: a timer
/// that runs does not change its CPU (`__mod_timer`, kernel/time/timer.c, v7.3; seen on 6.1).
pub(super) fn kept_alive(guest: &Guest) -> Result<Kept> {
    let cpu = guest.second().context("one watched CPU only")?;
    up()?;
    let staying = Setting::change("/proc/sys/kernel/timer_migration", "0")?;
    let listener = TcpListener::bind(HERE)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    let mut steps = 0;
    Ok(Box::new(move || {
        let _ = (&staying, &server);
        steps += 1;
        // It has expired by the next time.
        if steps % 8 != 1 {
            return Ok(());
        }
        let fd = client.as_raw_fd();
        thread::spawn(move || sys::pin(0, &[cpu]).and_then(|()| sys::keep_alive(fd, 1)))
            .join()
            .map_err(|_panic| anyhow!("the thread that arms the timer died"))?
            .context("a connection that is kept alive")
    }))
}
