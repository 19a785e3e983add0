//! What only one architecture has stands in the rooms for that, and nowhere else.
//!
//! Files are read with `syn`: names, and texts in the code. Comments may say where a fact was read, and tests may make an
//! example of one architecture; neither is looked at.

#![expect(clippy::expect_used, reason = "a helper of tests fails as tests do")]

mod source;

use std::{fs, path::Path};

use proc_macro2::{TokenStream, TokenTree};
use source::{files, is_of_tests, parsed, workspace};
use syn::{Attribute, Item, visit::Visit};

/// Folders whose files are looked at.
const FOLDERS: &[&str] = &[
    "isol-trace/src",
    "isol-trace-common/src",
    "isol-trace-ebpf/src",
    "xtask/src",
];

/// The rooms for what one architecture has.
const ROOMS: &[&str] = &[
    "isol-trace/src/arch",
    "isol-trace-ebpf/src/arch",
    "isol-trace-ebpf/src/probe/x86_64",
    "xtask/src/arch",
];

/// Words of an architecture, wherever they stand in a name or a text.
const WORDS: &[&str] = &[
    "x86",
    "amd64",
    "aarch64",
    "arm64",
    "apic",
    "sysvec",
    "orig_ax",
    "int 0x80",
    "pcpu_hot",
    "page_fault_user",
    "qemu-system",
    "q35",
    "ttys0",
    "bzimage",
];

/// Words that are only looked for as a whole word: registers, and the clock.
const WHOLE: &[&str] = &["rip", "rsp", "rbp", "rax", "eax", "r11", "cr2", "tsc"];

/// Names that are the same on every architecture, though a word of one is in them.
const NAMES: &[(&str, &str)] = &[
    ("apicerror", "a cause, which a log names on any machine"),
    ("apic_error", "a cause, which a log names on any machine"),
];

/// Where a word may stand all the same, and why.
const EXCEPT: &[(&str, &str)] = &[
    (
        "isol-trace/src/doctor",
        "advice for hosts of either architecture, which it tells apart when it runs",
    ),
    (
        "isol-trace/src/host/clocksource.rs",
        "the facts that this advice is from: a file of an x86 host, read as such",
    ),
    (
        "isol-trace/src/tui/sample.rs",
        "an invented host, for tests and for the picture of the dashboard",
    ),
];

/// Collects the names and texts of a file.
#[derive(Default)]
struct Reader {
    words: Vec<String>,
}

impl Reader {
    fn take(&mut self, tokens: TokenStream) {
        let mut is_attribute = false;
        for token in tokens {
            let follows = std::mem::replace(
                &mut is_attribute,
                matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '#'),
            );
            match token {
                TokenTree::Group(_) if follows => {}
                TokenTree::Group(group) => self.take(group.stream()),
                TokenTree::Ident(name) => self.words.push(name.to_string()),
                TokenTree::Literal(text) => self.words.push(text.to_string()),
                TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        // A module in a file of its own is looked at there.
        let is_elsewhere = matches!(item, Item::Mod(item) if item.content.is_none());
        if !is_of_tests(item) && !is_elsewhere {
            syn::visit::visit_item(self, item);
        }
    }

    // Documentation, and what chooses a room.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_ident(&mut self, name: &'ast proc_macro2::Ident) {
        self.words.push(name.to_string());
    }

    fn visit_lit(&mut self, text: &'ast syn::Lit) {
        if let syn::Lit::Str(text) = text {
            self.words.push(text.value());
        }
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.take(item.tokens.clone());
    }
}

/// The names and texts of a file that have a word of an architecture.
fn found(text: &str) -> Vec<String> {
    let mut reader = Reader::default();
    reader.visit_file(&parsed(text));
    let is_one = |word: &String| {
        let mut word = word.to_lowercase();
        for (name, _) in NAMES {
            word = word.replace(name, "");
        }
        let mut parts = word.split(|letter: char| !letter.is_alphanumeric());
        WORDS.iter().any(|it| word.contains(it)) || parts.any(|part| WHOLE.contains(&part))
    };
    reader.words.retain(is_one);
    reader.words
}

/// Whether a file or a folder has tests alone, by its name.
fn has_tests_alone(path: &Path) -> bool {
    let name = path.file_stem().expect("a name").to_string_lossy();
    name == "tests" || name.ends_with("_tests") || name == "layers"
}

#[test]
fn words_of_an_architecture_stand_in_its_rooms() {
    let mut count = 0;
    let mut wrong = Vec::new();
    let mut used = vec![false; EXCEPT.len()];
    let in_rooms = |path: &Path| ROOMS.iter().any(|room| path.starts_with(room));
    for folder in FOLDERS {
        for file in files(&workspace().join(folder), has_tests_alone) {
            let path = file.strip_prefix(workspace()).expect("a file of it");
            let words = found(&fs::read_to_string(&file).expect("a text"));
            if in_rooms(path) {
                count += words.len();
            } else if let Some(place) = EXCEPT.iter().position(|(it, _)| path.starts_with(it)) {
                used[place] |= !words.is_empty();
            } else if !words.is_empty() {
                wrong.push(format!("{}: {}", path.display(), words.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 50, "only {count} words are in the rooms");
    let unused = EXCEPT.iter().zip(used).filter(|(_, used)| !used);
    let unused: Vec<_> = unused.map(|((it, _), _)| it).collect();
    assert!(unused.is_empty(), "needed no more: {unused:?}");
}

#[test]
fn words_are_found_in_names_texts_and_macros() {
    for text in [
        "const PROGRAM: &str = \"qemu-system-x86_64\";",
        "use framehop::x86_64::Unwinder;",
        "fn f(orig_ax: u32) {}",
        "fn f() { regs(\"r11\"); }",
        "rows! { tracepoint!(\"thermal_apic_entry\") }",
        "fn f() { assert!(cfg!(target_arch = \"x86_64\")); }",
    ] {
        assert_eq!(found(text).len(), 1, "{text}");
    }
    for text in [
        "// arch/x86/kernel/tsc.c\nfn f() {}",
        "/// `pt_regs.orig_ax`\nstruct S;",
        "words! { /// The local APIC timer.\n Timer = 5 }",
        "pub(crate) mod x86_64;",
        "#[cfg(test)] mod tests { const ARCH: &str = \"x86_64\"; }",
        "#[cfg(traced_arch = \"x86_64\")] fn f() {}",
        "const WORD: &str = \"apic_error\"; const EXCERPT: u32 = 0x80;",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}
