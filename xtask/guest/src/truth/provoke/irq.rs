//! A device's interrupt, moved onto the watched CPU.

use std::{fs, io::Write, thread, time::Duration};

use anyhow::{Context, Result};

use super::{
    super::{
        expect::one,
        guest::{Setting, skip},
        interrupts::Interrupts,
        stage::Fact,
    },
    Partner, Provocation, Scene,
};

/// The rows.
pub const ALL: &[Provocation] = &[Provocation {
    name: "irq_device",
    about: "the serial port's interrupt, from a write on another CPU",
    act: |actor| actor.perform_after(|| (), Duration::from_millis(200), || actor.await_partner()),
    partner: Some(|scene| Ok(Box::new(Serial::aim(scene)?))),
    expect: |scene| {
        let count = usize::try_from(scene.fact(Fact::Count)?)?;
        anyhow::ensure!(count > 0, "/proc/interrupts saw no interrupt");
        Ok(vec![
            one("device_irq")
                .name(DEVICE)
                .irq(scene.fact(Fact::Irq)?)
                .origin("device")
                .times(count),
        ])
    },
}];

const DEVICE: &str = "ttyS0";

/// The first serial port, with its interrupt on the watched CPU.
#[derive(Debug)]
struct Serial<'a> {
    scene: &'a Scene<'a>,
    port: fs::File,
    irq: u64,
    _affinity: Setting,
}

impl<'a> Serial<'a> {
    fn aim(scene: &'a Scene<'a>) -> Result<Self> {
        let path = format!("/dev/{DEVICE}");
        let Ok(port) = fs::OpenOptions::new().write(true).open(&path) else {
            return skip(format!("this machine has no {path}"));
        };
        let Some(irq) = Interrupts::read()?.irq_of(DEVICE) else {
            return skip(format!("{DEVICE} has no interrupt"));
        };
        let cpu = scene.guest.cpu();
        let affinity = Setting::change(
            &format!("/proc/irq/{irq}/smp_affinity_list"),
            &cpu.to_string(),
        )?;
        let mut serial = Self {
            scene,
            port,
            irq,
            _affinity: affinity,
        };
        // An edge interrupt moves when it next arrives, on the old CPU still.
        for _ in 0..20 {
            if serial.ring()? > 0 {
                return Ok(serial);
            }
        }
        skip(format!(
            "the interrupt of {DEVICE} does not move to CPU {cpu}"
        ))
    }

    /// Writes to the port; answers how many interrupts the watched CPU got of it.
    fn ring(&mut self) -> Result<u64> {
        let label = self.irq.to_string();
        let cpu = self.scene.guest.cpu();
        let before = Interrupts::read()?;
        self.port.write_all(b"\r").context(DEVICE)?;
        thread::sleep(Duration::from_millis(100));
        Ok(before.delta(&Interrupts::read()?, &label, cpu))
    }
}

impl Partner for Serial<'_> {
    fn act(&mut self) -> Result<()> {
        let count = self.ring()?;
        self.scene.stage.set(Fact::Count, count);
        self.scene.stage.set(Fact::Irq, self.irq);
        Ok(())
    }
}
