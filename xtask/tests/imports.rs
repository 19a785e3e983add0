//! No two source files import each other, be it in a circle of many.
//!
//! Files are read with `syn`: imports, and paths in the code that begin with `crate`, `self`, `super` or a
//! module of the file. A name that a file hands on (`pub use`) counts as an import of the file that has it.
//! What is compiled for tests alone is left out, and so is what stands in a macro. A file may use what its own module, or
//! one around that, has: a module and its parts are one.

#![expect(clippy::expect_used, reason = "a helper of tests fails as tests do")]

mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use source::{files, is_of_tests, parsed, workspace};
use syn::{Item, UseTree, Visibility, visit::Visit};

/// A module: the names that lead to it from the root of its crate.
type Module = Vec<String>;

/// The crates of the workspace whose files are looked at.
const CRATES: &[&str] = &[
    "isol-trace",
    "isol-trace-common",
    "isol-trace-ebpf",
    "xtask",
    "xtask/guest",
    "kernel/task-isolation",
];

/// What a file says of others.
#[derive(Debug, Default)]
struct Source {
    /// Paths that it names, from the root of the crate.
    paths: Vec<Module>,
    /// What it hands on by which name.
    exports: BTreeMap<String, Module>,
    /// Modules that are there for tests alone.
    tests: BTreeSet<String>,
}

/// Reads one file.
struct Reader<'a> {
    /// Where in its crate the code that is read is.
    here: Module,
    /// All modules that are files.
    files: &'a BTreeSet<Module>,
    source: Source,
}

impl Reader<'_> {
    /// The path from the root of the crate; `None` where it leads out of the crate, or nowhere.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut module = self.here.clone();
        match first.as_str() {
            "crate" => module.clear(),
            "self" => {}
            "super" => {
                module.pop()?;
                while let Some((next, after)) = rest.split_first()
                    && next == "super"
                {
                    module.pop()?;
                    rest = after;
                }
            }
            name => {
                module.push(name.to_owned());
                return self
                    .files
                    .contains(&module)
                    .then(|| [&module[..], rest].concat());
            }
        }
        module.extend_from_slice(rest);
        Some(module)
    }

    /// Takes each path of an import.
    fn import(&mut self, tree: &UseTree, before: &[String], is_export: bool) {
        let mut path = before.to_vec();
        let name = match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                return self.import(&part.tree, &path, is_export);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, &path, is_export);
                }
                return;
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                name.ident.to_string()
            }
            UseTree::Rename(name) => {
                path.push(name.ident.to_string());
                name.rename.to_string()
            }
            UseTree::Glob(_) => "*".to_owned(),
        };
        // `use a::{self}` imports the module.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let Some(path) = self.absolute(&path) else {
            return;
        };
        if is_export {
            self.source.exports.insert(name, path);
        } else {
            self.source.paths.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_of_tests(item) {
            if let Item::Mod(item) = item {
                self.source.tests.insert(item.ident.to_string());
            }
            return;
        }
        match item {
            Item::Mod(item) if item.content.is_some() => {
                self.here.push(item.ident.to_string());
                syn::visit::visit_item_mod(self, item);
                self.here.pop();
            }
            Item::Use(item) => {
                let is_export = !matches!(item.vis, Visibility::Inherited);
                self.import(&item.tree, &[], is_export);
            }
            _ => syn::visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|it| it.ident.to_string());
        let names: Vec<_> = names.collect();
        if names.len() > 1
            && let Some(path) = self.absolute(&names)
        {
            self.source.paths.push(path);
        }
        syn::visit::visit_path(self, path);
    }
}

/// What all files of a crate say of each other. Given is each file's text by its module.
fn sources(texts: &BTreeMap<Module, String>) -> BTreeMap<Module, Source> {
    let files: BTreeSet<Module> = texts.keys().cloned().collect();
    let mut all = BTreeMap::new();
    for (module, text) in texts {
        let mut reader = Reader {
            here: module.clone(),
            files: &files,
            source: Source::default(),
        };
        reader.visit_file(&parsed(text));
        all.insert(module.clone(), reader.source);
    }
    // What only tests see is no part of the house.
    let of_tests: BTreeSet<Module> = all
        .iter()
        .flat_map(|(module, source)| {
            let below = |name: &String| [&module[..], std::slice::from_ref(name)].concat();
            source.tests.iter().map(below).collect::<Vec<_>>()
        })
        .collect();
    all.retain(|module, _| !(0..=module.len()).any(|end| of_tests.contains(&module[..end])));
    all
}

/// The file in which a path ends, through what files hand on.
fn target(all: &BTreeMap<Module, Source>, path: &[String], depth: usize) -> Module {
    let mut module = Module::new();
    for (place, name) in path.iter().enumerate() {
        let below = [&module[..], std::slice::from_ref(name)].concat();
        if all.contains_key(&below) {
            module = below;
            continue;
        }
        let export = all.get(&module).and_then(|source| source.exports.get(name));
        if let Some(to) = export
            && depth < 8
        {
            let rest = path.get(place + 1..).unwrap_or_default();
            return target(all, &[&to[..], rest].concat(), depth + 1);
        }
        break;
    }
    module
}

/// Which file imports which others.
fn imports(all: &BTreeMap<Module, Source>) -> BTreeMap<Module, BTreeSet<Module>> {
    let of = |module: &Module, source: &Source| {
        let targets = source.paths.iter().map(|path| target(all, path, 0));
        targets
            .filter(|target| !module.starts_with(target) && all.contains_key(target))
            .collect()
    };
    all.iter()
        .map(|(module, source)| (module.clone(), of(module, source)))
        .collect()
}

/// What is left when all files are taken away, again and again, that import no other or that no other imports: the circles,
/// and what lies between two of them.
fn circles(mut imports: BTreeMap<Module, BTreeSet<Module>>) -> BTreeMap<Module, BTreeSet<Module>> {
    loop {
        let before = imports.len();
        let imported: BTreeSet<Module> = imports.values().flatten().cloned().collect();
        imports.retain(|module, others| !others.is_empty() && imported.contains(module));
        let left: BTreeSet<Module> = imports.keys().cloned().collect();
        for others in imports.values_mut() {
            others.retain(|other| left.contains(other));
        }
        if imports.len() == before && imports.values().all(|others| !others.is_empty()) {
            return imports;
        }
    }
}

/// The texts of a crate's files, by their modules. Programs beside the library are crates of their own, and small.
fn texts(source: &Path) -> BTreeMap<Module, String> {
    // A library's root, rather than that of the program beside it.
    let is_library = source.join("lib.rs").exists();
    let is_program =
        |path: &Path| path == source.join("bin") || (is_library && path == source.join("main.rs"));
    let text = |file: PathBuf| {
        let below = file
            .strip_prefix(source)
            .expect("a file of it")
            .with_extension("");
        let mut module: Module = below
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let is_root = module == ["lib"] || module == ["main"];
        if is_root || module.last().is_some_and(|name| name == "mod") {
            module.pop();
        }
        (module, fs::read_to_string(&file).expect("a text"))
    };
    files(source, is_program).into_iter().map(text).collect()
}

#[test]
fn no_two_files_import_each_other() {
    let mut count = 0;
    for name in CRATES {
        let all = sources(&texts(&workspace().join(name).join("src")));
        let imports = imports(&all);
        count += imports.values().map(BTreeSet::len).sum::<usize>();
        let circles: Vec<String> = circles(imports)
            .iter()
            .map(|(module, others)| {
                let others: Vec<_> = others.iter().map(|it| it.join("::")).collect();
                format!("{} imports {}", module.join("::"), others.join(", "))
            })
            .collect();
        assert!(circles.is_empty(), "{name}: {circles:#?}");
    }
    assert!(count > 1000, "only {count} imports were found");
}

/// The circles of a crate with these files.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let module = |path: &str| -> Module {
        let names = path.split("::").filter(|it| !it.is_empty());
        names.map(str::to_owned).collect()
    };
    let texts = files
        .iter()
        .map(|(path, text)| (module(path), (*text).to_owned()))
        .collect();
    let left = circles(imports(&sources(&texts)));
    left.keys().map(|module| module.join("::")).collect()
}

#[test]
fn circles_are_found_and_what_is_none_is_not() {
    let root = ("", "mod a; mod b; pub use a::A;");
    let a = ("a", "use crate::b::B; pub struct A;");
    assert_eq!(found(&[root, a, ("b", "pub struct B;")]), [""; 0]);
    for back in [
        "use crate::a::A; pub struct B;",
        "use super::A; pub struct B;",
        "pub struct B; fn f() { let _ = crate::a::A; }",
    ] {
        assert_eq!(found(&[root, a, ("b", back)]), ["a", "b"], "{back}");
    }
    let in_tests = "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }";
    assert_eq!(found(&[root, a, ("b", in_tests)]), [""; 0]);
    // A module and what lies in it are one.
    let inner = (
        "a::inner",
        "use super::A; use crate::b::B; pub struct Inner;",
    );
    let outer = ("a", "mod inner; use inner::Inner; pub struct A(Inner);");
    assert_eq!(
        found(&[root, outer, inner, ("b", "pub struct B;")]),
        [""; 0]
    );
    let back = ("b", "use crate::a::A; pub struct B;");
    assert_eq!(found(&[root, outer, inner, back]), ["a", "a::inner", "b"]);
}
