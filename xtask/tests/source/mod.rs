//! Source files, as tests of the house read them.

#![expect(clippy::expect_used, reason = "a helper of tests fails as tests do")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item};

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().expect("a parent")
}

/// The source files below a folder, in the order of their paths. Files and folders that are left out by their path are
/// not looked at.
pub(crate) fn files(folder: &Path, is_left_out: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if is_left_out(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                all.push(path);
            }
        }
    }
    all.sort();
    all
}

/// A file's syntax tree.
pub(crate) fn parsed(text: &str) -> syn::File {
    syn::parse_file(text).expect("the compiler takes it, too")
}

/// Whether an item is compiled for tests alone.
pub(crate) fn is_of_tests(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        _ => &[],
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}
