//! The modules of the kernel side are in layers, and none imports from its own layer or from above.
//!
//! The layers are those that the documentation of its `main.rs` lists. All but that file is read as
//! text: paths that begin with `crate::` or `super::`, in imports and elsewhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Source files, by the path of their module: `span`, `probe::sched`.
type Sources = BTreeMap<String, String>;

/// The crate's sources, and its `main.rs`.
fn sources() -> (Sources, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../isol-trace-ebpf/src");
    let mut all = Sources::new();
    let mut folders = vec![(folder, String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for file in fs::read_dir(folder).unwrap() {
            let path: PathBuf = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let module = format!("{prefix}{name}");
            if path.is_dir() {
                folders.push((path, format!("{module}::")));
            } else {
                let module = module.trim_end_matches("::mod").to_owned();
                all.insert(module, fs::read_to_string(path).unwrap());
            }
        }
    }
    let main = all.remove("main").unwrap();
    (all, main)
}

/// The layer of each module that the list of `main.rs` has, counted from the top.
fn layers(main: &str) -> BTreeMap<String, usize> {
    let mut layer = 0;
    let mut all = BTreeMap::new();
    let lines = main.lines().map_while(|line| line.strip_prefix("//!"));
    for line in lines {
        match line.trim_start().split_once(". ") {
            Some((number, _)) if number.parse() == Ok(layer + 1) => layer += 1,
            _ if layer > 0 && line.starts_with("    ") => {}
            _ => continue,
        }
        for name in line.split("[`").skip(1) {
            let name = name.split("`]").next().unwrap_or_default().to_owned();
            let before = all.insert(name.clone(), layer);
            assert_eq!(before, None, "{name} is in two layers");
        }
    }
    all
}

/// The first names behind each `crate::` or `super::` of a file.
fn names_behind(text: &str, root: &str) -> Vec<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let is_of_name = |it: char| it.is_alphanumeric() || it == '_';
    let first = |path: &str| {
        let end = path.find(|it| !is_of_name(it)).unwrap_or(path.len());
        path[..end].to_owned()
    };
    let mut names = Vec::new();
    for (at, _) in code.match_indices(root) {
        if code[..at].ends_with(is_of_name) {
            continue;
        }
        let path = &code[at + root.len()..];
        let Some(group) = path.strip_prefix('{') else {
            names.push(first(path));
            continue;
        };
        let mut depth = 0_u32;
        let mut is_start = true;
        for (at, letter) in group.char_indices() {
            match letter {
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                '{' => depth += 1,
                ',' if depth == 0 => is_start = true,
                _ if is_start && is_of_name(letter) => {
                    names.push(first(&group[at..]));
                    is_start = false;
                }
                _ => {}
            }
        }
    }
    // What a macro's argument names is none: `super::$body`.
    names.retain(|name| !name.is_empty());
    names
}

/// The imports that go to a module's own layer or up, as sentences.
fn wrong(sources: &Sources, layers: &BTreeMap<String, usize>) -> Vec<String> {
    let mut all = Vec::new();
    for (module, text) in sources {
        let (outer, inner) = module.split_once("::").unwrap_or((module, ""));
        let Some(own) = layers.get(outer) else {
            all.push(format!("{module} is in no layer"));
            continue;
        };
        let mut names = names_behind(text, "crate::");
        for name in names_behind(text, "super::") {
            if inner.is_empty() {
                names.push(name);
            } else {
                all.push(format!("{module} imports {name} of {outer}"));
            }
        }
        for name in names {
            match layers.get(&name) {
                None => all.push(format!("{module} imports {name} of the root")),
                // A macro of its own that names where it is.
                Some(_) if name == *outer && inner.is_empty() => {}
                Some(layer) if layer > own => {}
                Some(_) => all.push(format!("{module} imports {name}, which is not below it")),
            }
        }
    }
    for name in layers.keys().filter(|name| !sources.contains_key(*name)) {
        all.push(format!("there is no module {name}"));
    }
    all
}

#[test]
fn no_module_imports_from_its_own_layer_or_above() {
    let (sources, main) = sources();
    let layers = layers(&main);
    assert!(layers.values().max() > Some(&5), "{layers:?}");
    let imports: usize = sources
        .values()
        .map(|text| names_behind(text, "crate::").len())
        .sum();
    assert!(imports > 80, "only {imports} imports were found");
    assert_eq!(wrong(&sources, &layers), [""; 0]);
}

/// What the test above finds in two layers, `high` and then `low` and `deep`, with these texts.
fn found(texts: &[(&str, &str)]) -> Vec<String> {
    let main = "//! 1. [`high`]: what\n//!    is above;\n//! 2. [`low`]: and\n//!    [`deep`]: below.\n//!\n//! 3 rows";
    let mut sources: Sources = ["high", "low", "deep"]
        .map(|name| (name.to_owned(), String::new()))
        .into();
    sources.extend(
        texts
            .iter()
            .map(|(name, text)| (str::to_owned(name), str::to_owned(text))),
    );
    wrong(&sources, &layers(main))
}

#[test]
fn an_import_that_goes_down_is_right() {
    for text in [
        "use crate::{deep::{one, two::three}, low};",
        "use super::low;",
        "// use crate::Root;",
        "fn call() { crate::low::call(); super::$body(); mycrate::other(); $crate::high::of(); }",
    ] {
        assert_eq!(found(&[("high", text)]), [""; 0], "{text}");
    }
    assert_eq!(found(&[("high::one", "use crate::low::it;")]), [""; 0]);
}

#[test]
fn an_import_that_goes_elsewhere_is_found() {
    for (module, text, sentence) in [
        (
            "low",
            "use crate::high::it;",
            "low imports high, which is not below it",
        ),
        (
            "low",
            "use crate::{\n    deep,\n};",
            "low imports deep, which is not below it",
        ),
        (
            "low",
            "fn f() { super::high::call(); }",
            "low imports high, which is not below it",
        ),
        ("low", "use crate::Root;", "low imports Root of the root"),
        (
            "high::one",
            "use super::two::it;",
            "high::one imports two of high",
        ),
        (
            "high::one",
            "use crate::{low::{a, b}, high::two};",
            "high::one imports high, which is not below it",
        ),
        ("new", "", "new is in no layer"),
    ] {
        assert_eq!(found(&[(module, text)]), [sentence], "{text}");
    }
    let circle = found(&[("low", "use crate::deep;"), ("deep", "use crate::low;")]);
    assert_eq!(circle.len(), 2, "{circle:?}");
}
