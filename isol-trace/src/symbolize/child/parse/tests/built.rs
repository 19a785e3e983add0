//! What compilers make: inlined functions, split and compressed debug information, stripped files.

use super::{Built, places};
use crate::symbolize::{Limits, LinkedAddress, Missing, Place, Program};

/// `main` calls `work`, into which `leaf` is inlined: line 3 in line 7.
const SPIN: &str = "\
#include \"leaf.h\"
int count;

__attribute__((noinline)) int work(int x)
{
    __asm__ volatile(\"nop\" ::: \"memory\");
    x = leaf(x);
    count += x;
    return x;
}

int main(void)
{
    return work(1) & 1;
}
";

const LEAF: &str = "\
static inline __attribute__((always_inline)) int leaf(int x)
{
    __asm__ volatile(\"nop; nop; nop; nop\" : \"+r\"(x) :: \"memory\");
    return x;
}
";

fn spin(flags: &str) -> Built {
    let built = Built::new();
    built.write("spin.c", SPIN);
    built.write("leaf.h", LEAF);
    built.run(&format!("cc -O2 {flags} -o spin spin.c"));
    built
}

/// The inlined function is found somewhere in `work`, and so are the lines around it.
fn is_whole(program: &Program, begin: u64) {
    let places = places(program, begin, 12);
    let first = &places[0];
    assert_eq!(first.location.as_deref(), Some("work"), "{first:?}");
    let inlined: Vec<&Place> = places.iter().filter(|it| !it.inlined.is_empty()).collect();
    let place = inlined.first().unwrap_or_else(|| panic!("{places:#?}"));
    assert_eq!(&*place.inlined, ["leaf (leaf.h:3)".into()]);
    assert_eq!(place.location.as_deref(), Some("leaf"));
    assert_eq!(place.source.as_deref(), Some("leaf.h:3"));
    let outer = place.outer.as_deref().expect("the compiled function");
    assert!(
        outer.starts_with("work+0x") && outer.ends_with(" (spin.c:7)"),
        "{outer}"
    );
    for place in &places {
        assert_eq!(place.missing, None);
    }
}

#[test]
fn functions_lines_and_inlined_functions_are_found() {
    for flags in [
        "-g",
        "-g -static-pie",
        "-g -no-pie",
        "-gdwarf-2",
        "-gdwarf-3",
        "-gdwarf-4",
        "-gdwarf-5",
        "-g -gz=zlib",
        "-g -fdebug-types-section",
        "-g -ffunction-sections -Wl,--gc-sections",
    ] {
        let built = spin(flags);
        let begin = built.address("spin", "work");
        is_whole(&built.program("spin"), begin);
    }
}

#[test]
fn a_stripped_file_has_nothing_of_its_own() {
    let built = spin("-g");
    let begin = built.address("spin", "work");
    built.run("objcopy --only-keep-debug spin spin.debug");
    built.run("strip -o stripped spin");
    let mut program = built.program("stripped");
    let place = program.place(LinkedAddress(begin), 0);
    assert_eq!(place, Place::default());
    let debug = built.image("spin.debug");
    assert_eq!(debug.build_id(), program.image().build_id());
    program.set_debug(debug);
    is_whole(&program, begin);
}

#[test]
fn a_debug_link_names_the_other_file() {
    let built = spin("-g");
    built.run("objcopy --only-keep-debug spin spin.debug");
    built.run("objcopy --strip-debug --add-gnu-debuglink=spin.debug spin linked");
    let image = built.image("linked");
    assert_eq!(&*image.debug_link().expect("a link").name, "spin.debug");
}

#[test]
fn split_debug_information_is_asked_for_and_used() {
    for flags in ["-g -gsplit-dwarf", "-gdwarf-4 -gsplit-dwarf"] {
        let built = spin(flags);
        let begin = built.address("spin", "work");
        let mut program = built.program("spin");
        let place = program.place(LinkedAddress(begin), 0);
        let Some(Missing::Split(name)) = place.missing else {
            panic!("{place:?}")
        };
        // The line is in the program itself.
        assert_eq!(place.location.as_deref(), Some("work"));
        assert_eq!(place.source.as_deref(), Some("spin.c:5"));
        program.add_split(built.image(&name));
        is_whole(&program, begin);
    }
}

/// Of DWARF 4: binutils' own `dwp` knows no other.
#[test]
fn a_package_of_split_debug_information_is_used() {
    let built = spin("-gdwarf-4 -gsplit-dwarf");
    let begin = built.address("spin", "work");
    built.run("dwp -e spin -o spin.dwp");
    let mut program = built.program("spin");
    program.add_split(built.image("spin.dwp"));
    is_whole(&program, begin);
}

#[test]
fn what_does_not_fit_is_named_and_the_function_stays() {
    let built = spin("-g -gz=zlib");
    let begin = built.address("spin", "work");
    let limits = Limits {
        memory: 4096,
        ..Limits::default()
    };
    let image = super::image(&built.folder.path().join("spin"), limits);
    let place = image.place(LinkedAddress(begin), 0);
    assert_eq!(place.location.as_deref(), Some("work"));
    assert_eq!(place.source, None);
    let missing = place.missing.expect("a reason");
    assert!(matches!(missing, Missing::Memory { .. }), "{missing}");
    let limits = Limits {
        steps: 100,
        ..Limits::default()
    };
    let image = super::image(&built.folder.path().join("spin"), limits);
    let place = image.place(LinkedAddress(begin), 0);
    assert!(
        matches!(place.missing, Some(Missing::Steps(_))),
        "{place:?}"
    );
}

#[test]
fn offsets_of_callers_are_those_behind_the_call() {
    let built = spin("-g");
    let begin = built.address("spin", "work");
    let program = built.program("spin");
    let place = program.place(LinkedAddress(begin), 1);
    assert_eq!(place.location.as_deref(), Some("work+0x1"));
}
