//! What is refused, and whether the error says why.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Result, bail, ensure};
use task_isolation::{
    Config, Error, Flags, Lack, Modes, Obstacle, OnBreach, Quiesce, Signal, configuration,
    configure, cpus, enter, enter_within, features, is_isolated,
};

use crate::{Test, stage};

pub(crate) const TESTS: &[Test] = &[
    ("features_have_names", features_have_names),
    ("a_configuration_is_kept", a_configuration_is_kept),
    ("what_is_not_known_is_named", what_is_not_known_is_named),
    ("several_cpus_are_refused", several_cpus_are_refused),
    (
        "a_cpu_that_is_not_isolated_is_refused",
        a_cpu_that_is_not_isolated_is_refused,
    ),
    ("is_not_isolated_twice", is_not_isolated_twice),
    ("a_busy_thread_is_named", a_busy_thread_is_named),
];

fn features_have_names() -> Result<()> {
    let features = features()?;
    ensure!(features.modes() == Modes::all(), "{}", features.modes());
    ensure!(features.flags() == Flags::all(), "{}", features.flags());
    ensure!(
        features.quiesce() == Quiesce::all(),
        "{}",
        features.quiesce()
    );
    Ok(())
}

fn a_configuration_is_kept() -> Result<()> {
    let first = configuration()?;
    ensure!(first == Config::default(), "{first:?}");
    for config in [
        Config::new(OnBreach::Strict(Signal::KILL)).with_flags(Flags::all()),
        Config::new(OnBreach::Signal(Signal::USR2)).with_quiesce(Quiesce::empty()),
        Config::default(),
    ] {
        configure(&config)?;
        let kept = configuration()?;
        ensure!(kept == config, "{kept:?}");
    }
    Ok(())
}

fn what_is_not_known_is_named() -> Result<()> {
    let config = Config::default().with_quiesce(Quiesce::LRU | Quiesce::from_bits_retain(1 << 31));
    match configure(&config) {
        Err(Error::Unknown { lacking, .. }) if lacking == ["to quiesce 0x80000000"] => Ok(()),
        other => bail!("{other:?}"),
    }
}

fn several_cpus_are_refused() -> Result<()> {
    let own: Vec<u32> = cpus()?.iter().collect();
    stage::bind(&own)?;
    match enter() {
        Err(Error::NotOneCpu { allowed, isolable }) => {
            ensure!(allowed.iter().eq(own.iter().copied()), "{allowed}");
            ensure!(isolable == allowed, "{isolable}");
        }
        other => bail!("{other:?}"),
    }
    ensure!(!is_isolated()?);
    Ok(())
}

fn a_cpu_that_is_not_isolated_is_refused() -> Result<()> {
    stage::bind(&[0])?;
    match enter_within(stage::LIMIT) {
        Err(Error::CpuNotIsolated { cpu, lack, .. }) => {
            ensure!(cpu == 0 && lack == Lack::Both, "{cpu} {lack}");
        }
        other => bail!("{other:?}"),
    }
    Ok(())
}

fn is_not_isolated_twice() -> Result<()> {
    let isolated = stage::signalled()?;
    let twice = enter();
    let configured = configure(&Config::default());
    let active = isolated.is_active();
    drop(isolated);
    ensure!(matches!(twice, Err(Error::AlreadyIsolated)), "{twice:?}");
    ensure!(
        matches!(configured, Err(Error::AlreadyIsolated)),
        "{configured:?}"
    );
    ensure!(active && stage::handled() == 0, "none of it is a breach");
    Ok(())
}

fn a_busy_thread_is_named() -> Result<()> {
    let cpu = stage::own_cpu(0)?;
    let stop = Arc::new(AtomicBool::new(false));
    let there = Arc::new(AtomicBool::new(false));
    let busy = thread::Builder::new().name("busy".into()).spawn({
        let (stop, there) = (Arc::clone(&stop), Arc::clone(&there));
        move || {
            let bound = stage::bind(&[cpu]);
            there.store(true, Ordering::Release);
            stage::turn(u64::MAX, &stop);
            bound
        }
    })?;
    while !there.load(Ordering::Acquire) && !busy.is_finished() {
        thread::yield_now();
    }
    let refused = enter();
    stop.store(true, Ordering::Relaxed);
    let bound = busy.join();
    ensure!(matches!(bound, Ok(Ok(()))), "{bound:?}");
    match refused {
        Err(Error::NotQuiet { obstacles, .. }) => {
            let named =
                |it: &Obstacle| matches!(it, Obstacle::Thread { comm, .. } if comm == "busy");
            ensure!(obstacles.iter().any(named), "{obstacles:?}");
        }
        other => bail!("{other:?}"),
    }
    drop(enter_within(stage::LIMIT)?);
    Ok(())
}
