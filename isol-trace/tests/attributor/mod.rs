//! An attributor as the tracer has it, whose symbolizer is the program that is tested.

use std::path::Path;

use isol_trace::{
    attrib::{Attributor, Options},
    symbolize::Starter,
};

/// One that has started its symbolizer, and names places in user space.
pub(crate) fn with_user_symbols() -> Attributor {
    with_user_symbols_of(Path::new("/"))
}

/// The same of a machine whose `proc` and `sys` are under `root`.
pub(crate) fn with_user_symbols_of(root: &Path) -> Attributor {
    let symbolizer = Starter {
        program: env!("CARGO_BIN_EXE_isol-trace").into(),
        ..Options::default().symbolizer
    };
    let options = Options {
        symbolizer,
        ..Options::default()
    };
    Attributor::new(root, &options).expect("a thread")
}
