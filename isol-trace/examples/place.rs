//! Names addresses of a program: `place PROGRAM [--debug FILE] [--split FILE] ADDRESS…`; without
//! addresses, a thousand of its code, with how many have a function, how many a line, and how long it took.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{env, error::Error, fs::File, time::Instant};

use isol_trace::symbolize::{Image, Limits, LinkedAddress, Place, Program};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let path = words.next().ok_or("which program?")?;
    let open = |path: &str| -> Result<Image, Box<dyn Error>> {
        Ok(Image::open(&File::open(path)?, Limits::default())?)
    };
    let begun = Instant::now();
    let mut program = Program::new(open(&path)?);
    let mut addresses = Vec::new();
    while let Some(word) = words.next() {
        match &*word {
            "--debug" => program.set_debug(open(&words.next().ok_or("which file?")?)?),
            "--split" => program.add_split(open(&words.next().ok_or("which file?")?)?),
            hex => addresses.push(u64::from_str_radix(hex.trim_start_matches("0x"), 16)?),
        }
    }
    for address in &addresses {
        show(&program.place(LinkedAddress(*address), 0));
    }
    if addresses.is_empty() {
        sample(&program, begun)?;
    }
    Ok(())
}

fn show(place: &Place) {
    for frame in place.stack() {
        println!("{frame}");
    }
    println!(
        "  at {:?}, source {:?}, missing {:?}",
        place.location, place.source, place.missing
    );
}

/// Addresses spread over its code.
fn sample(program: &Program, begun: Instant) -> Result<(), Box<dyn Error>> {
    const SAMPLES: u64 = 1000;
    let code = program.image().code().ok_or("it has no code")?;
    let step = ((code.end - code.start) / SAMPLES).max(1);
    let addresses = (code.start..code.end)
        .step_by(usize::try_from(step)?)
        .map(LinkedAddress);
    let (mut all, mut named, mut lines) = (0, 0, 0);
    let mut first = None;
    let mut missing = None;
    for at in addresses {
        let place = program.place(at, 0);
        first.get_or_insert_with(|| begun.elapsed());
        all += 1;
        named += u32::from(place.location.is_some());
        lines += u32::from(place.source.is_some());
        missing = missing.or(place.missing);
    }
    println!(
        "{all} places: {named} named, {lines} with a line; first after {:?}, all after {:?}; {} KiB",
        first.unwrap_or_default(),
        begun.elapsed(),
        program.memory() / 1024
    );
    if let Some(missing) = missing {
        println!("missing: {missing}");
    }
    Ok(())
}
