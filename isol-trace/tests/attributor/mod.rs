//! An attributor as the tracer has it, whose symbolizer is the program that is tested.

use std::path::Path;

use isol_trace::attrib::{Attributor, Options, Starter};

/// One that has started its symbolizer, and names places in user space.
pub(crate) fn with_user_symbols() -> Attributor {
    let symbolizer = Starter {
        program: env!("CARGO_BIN_EXE_isol-trace").into(),
        ..Options::default().symbolizer
    };
    let options = Options {
        symbolizer,
        ..Options::default()
    };
    Attributor::new(Path::new("/"), &options).expect("a thread")
}
