use std::{
    fs,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, symlink},
    thread,
    time::{Duration, UNIX_EPOCH},
};

use rustix::fs::{FileType, mknodat};

use super::*;

/// What root asks.
const ROOTS: Reader = Reader {
    payer: Payer::ROOT,
    has_bars: false,
};

struct Tree(tempfile::TempDir, Arc<File>);

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = File::open(folder.path()).expect("a folder");
        Self(folder, Arc::new(root))
    }

    fn root(&self) -> Arc<File> {
        self.1.clone()
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        path
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect("a file");
    }

    fn fifo(&self, path: &str) {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(rustix::fs::CWD, self.path(path), FileType::Fifo, mode, 0).expect("a FIFO");
    }
}

fn text(file: Option<File>) -> Option<String> {
    let mut text = String::new();
    file?.read_to_string(&mut text).expect("text");
    Some(text)
}

fn program(files: &mut Files, tree: &Tree, path: &str) -> Option<FileId> {
    let place = Place::Below(tree.root(), inner(Path::new(path))?);
    files.find(place, &tree.root(), Path::new(path), None, ROOTS)
}

#[test]
fn a_file_is_opened_as_it_was_looked_at() {
    let tree = Tree::new();
    tree.write("bin/spin", "one");
    let mut files = Files::new(Vec::new());
    let id = program(&mut files, &tree, "/bin/spin").expect("it is there");
    assert_eq!(program(&mut files, &tree, "/bin/spin"), Some(id), "known");
    assert_eq!(text(files.open(id)).as_deref(), Some("one"));
    assert_eq!(files.name(id), Some("/bin/spin"));
    // Another file by that name.
    tree.write("bin/other", "two");
    fs::rename(tree.path("bin/other"), tree.path("bin/spin")).expect("moved");
    assert!(files.open(id).is_none());
    let other = program(&mut files, &tree, "/bin/spin").expect("it is there");
    assert_ne!(other, id);
    let mapped = FileNumber {
        device: (0, 0),
        inode: 1,
    };
    let place = Place::Below(tree.root(), "bin/spin".into());
    let found = files.find(
        place,
        &tree.root(),
        Path::new("/bin/spin"),
        Some(mapped),
        ROOTS,
    );
    assert_eq!(found, None, "not the one that was mapped");
}

/// A stranger's file is barred and deleted, and the next one that anybody makes there has its inode.
#[test]
fn a_file_with_the_inode_of_one_that_is_gone_is_another_one() {
    let tree = Tree::new();
    let mut files = Files::new(Vec::new());
    let mut known = Vec::new();
    for _ in 0..4 {
        tree.write("bin/spin", "one");
        let id = program(&mut files, &tree, "/bin/spin").expect("it is there");
        let key = files.used(id, Payer::Unknown).expect("known").of;
        assert!(!known.contains(&key), "{known:?} {key:?}");
        let born = fs::metadata(tree.path("bin/spin")).and_then(|it| it.created());
        let born = born
            .ok()
            .map(|it| it.duration_since(UNIX_EPOCH).expect("later"));
        let said = key
            .file
            .born
            .map(|(seconds, more)| Duration::new(seconds.try_into().expect("later"), more));
        assert_eq!(said, born);
        known.push(key);
        // The kernel's clock for files moves on.
        thread::sleep(Duration::from_millis(20));
        tree.write("bin/spin", "written to in its place");
        let rewritten = program(&mut files, &tree, "/bin/spin").expect("it is there");
        assert_ne!(rewritten, id, "another version");
        assert_eq!(
            files.used(rewritten, Payer::Unknown).expect("known").of,
            key,
            "one file"
        );
        fs::remove_file(tree.path("bin/spin")).expect("ours");
    }
}

/// Each name of a file has a number of its own, and a stranger links one as often as it likes.
#[test]
fn files_that_are_used_stay_where_others_come_by_the_thousand() {
    let tree = Tree::new();
    tree.write("bin/spin", "used");
    tree.write("bin/other", "not used");
    tree.write("bin/link", "linked");
    let mut files = Files::new(Vec::new());
    let used = program(&mut files, &tree, "/bin/spin").expect("it is there");
    let other = program(&mut files, &tree, "/bin/other").expect("it is there");
    for number in 0..FILES {
        let name = format!("bin/{number}");
        fs::hard_link(tree.path("bin/link"), tree.path(&name)).expect("a link");
        assert!(program(&mut files, &tree, &format!("/{name}")).is_some());
        assert_eq!(program(&mut files, &tree, "/bin/spin"), Some(used));
    }
    assert!(files.name(other).is_none() && files.open(other).is_none());
    let again = program(&mut files, &tree, "/bin/other").expect("it is there");
    assert!(again.0 > other.0, "a number is nobody else's later");
}

#[test]
fn a_file_that_is_remembered_holds_no_directory() {
    let tree = Tree::new();
    tree.write("root/bin/spin", "one");
    let open = |path| Arc::new(File::open(tree.path(path)).expect("a folder"));
    let (root, folder) = (open("root"), open("root/bin"));
    let mut files = Files::new(Vec::new());
    let find = |files: &mut Files, root: &Arc<File>| {
        let place = Place::Below(root.clone(), "bin/spin".into());
        files.find(place, root, Path::new("/bin/spin"), None, ROOTS)
    };
    let id = find(&mut files, &root).expect("it is there");
    let link = Place::Link(folder.clone(), "spin".to_owned());
    let linked = files.find(link, &root, Path::new("/bin/link"), None, ROOTS);
    assert!(linked.is_some());
    let held = (Arc::strong_count(&root), Arc::strong_count(&folder));
    assert_eq!(held, (1, 1));
    assert_eq!(text(files.open(id)).as_deref(), Some("one"));
    assert_eq!(find(&mut files, &open("root")), Some(id), "the same root");
    assert!(files.open(id).is_none(), "which is not held");
    // What has its number now is another one.
    let again = find(&mut files, &root).expect("it is there");
    assert_ne!(again, id);
    assert_eq!(text(files.open(again)).as_deref(), Some("one"));
}

/// Standard error is for people, and a path has up to 4 KiB.
#[test]
fn the_name_of_a_file_is_cut_wherever_it_ends() {
    let tree = Tree::new();
    let mut files = Files::new(Vec::new());
    for first in ["a", "ab", "abc", "abcd"] {
        let folder = format!("{first}{}", "é".repeat(100));
        let path = format!("/{folder}/{folder}/€uro\u{200b}\u{200b}/spin");
        tree.write(&path[1..], "one");
        let id = program(&mut files, &tree, &path).expect("it is there");
        let name = files.name(id).expect("known");
        assert!(name.len() <= NAME && name.ends_with('…'), "{name}");
        assert!(name.starts_with(&format!("/{first}é")), "{name}");
    }
}

/// Opening a FIFO would wait for its writer, and opening some devices starts something.
#[test]
fn what_is_no_regular_file_is_never_opened() {
    let tree = Tree::new();
    let mut files = Files::new(Vec::new());
    tree.fifo("bin/fifo");
    symlink("/dev/null", tree.path("bin/outside")).expect("a link");
    symlink("fifo", tree.path("bin/link")).expect("a link");
    fs::create_dir(tree.path("bin/folder")).expect("a folder");
    for path in [
        "/bin/fifo",
        "/bin/outside",
        "/bin/link",
        "/bin/folder",
        "/bin/none",
    ] {
        assert_eq!(program(&mut files, &tree, path), None, "{path}");
    }
    let root = Arc::new(File::open("/").expect("ours"));
    let place = Place::Below(root.clone(), "dev/null".into());
    assert_eq!(
        files.find(place, &root, Path::new("/dev/null"), None, ROOTS),
        None
    );
    // Put in the place of a file that was looked at.
    tree.write("bin/spin", "one");
    let id = program(&mut files, &tree, "/bin/spin").expect("it is there");
    fs::remove_file(tree.path("bin/spin")).expect("removed");
    tree.fifo("bin/spin");
    assert!(files.open(id).is_none());
}

/// A path is followed below its root: neither `..` nor a link leaves that.
#[test]
fn nothing_leads_out_of_a_root() {
    let tree = Tree::new();
    tree.write("outside", "secret");
    tree.write("root/inside", "plain");
    symlink("../../../outside", tree.path("root/up")).expect("a link");
    symlink(tree.path("outside"), tree.path("root/absolute")).expect("a link");
    symlink("/inside", tree.path("root/own")).expect("a link");
    let root = Arc::new(File::open(tree.path("root")).expect("a folder"));
    let mut files = Files::new(Vec::new());
    let mut find = |path: &str| {
        let place = Place::Below(root.clone(), path.into());
        files.find(place, &root, Path::new(path), None, ROOTS)
    };
    for path in ["../outside", "up", "absolute"] {
        assert_eq!(find(path), None, "{path}");
    }
    assert!(find("own").is_some(), "a link of its own");
}

#[test]
fn debug_information_lies_below_the_usual_directories() {
    let tree = Tree::new();
    tree.write("bin/spin", "program");
    let mut files = Files::new(Vec::new());
    let of = program(&mut files, &tree, "/bin/spin").expect("it is there");
    let id = DebugName::BuildId((1..=10).collect());
    assert_eq!(files.debug(of, &id, Payer::ROOT), None);
    tree.write(
        "usr/lib/debug/.build-id/01/02030405060708090a.debug",
        "by id",
    );
    let found = files.debug(of, &id, Payer::ROOT).expect("it is there");
    assert_eq!(text(files.open(found)).as_deref(), Some("by id"));
    let link = |name: &str| DebugName::Link(name.to_owned());
    tree.write("usr/lib/debug/bin/spin.debug", "by link");
    let found = files
        .debug(of, &link("spin.debug"), Payer::ROOT)
        .expect("it is there");
    assert_eq!(text(files.open(found)).as_deref(), Some("by link"));
    // Beside the program lies what its owner likes.
    tree.write("bin/beside.debug", "beside");
    assert_eq!(files.debug(of, &link("beside.debug"), Payer::ROOT), None);
    tree.fifo("usr/lib/debug/bin/fifo.debug");
    assert_eq!(files.debug(of, &link("fifo.debug"), Payer::ROOT), None);
    tree.write("bin/spin.dwp", "package");
    let found = files
        .debug(of, &DebugName::Package, Payer::ROOT)
        .expect("it is there");
    assert_eq!(text(files.open(found)).as_deref(), Some("package"));
}

/// A name out of a stranger's file: root would open a watchdog by it, and the machine would start anew.
#[test]
fn a_name_from_a_file_leads_nowhere_else() {
    let tree = Tree::new();
    tree.write("bin/spin", "program");
    tree.write("etc/secret", "secret");
    let debug = Arc::new(File::open(tree.0.path()).expect("a folder"));
    let mut files = Files::new(vec![debug]);
    let of = program(&mut files, &tree, "/bin/spin").expect("it is there");
    for name in [
        "/etc/secret",
        "../etc/secret",
        "etc/secret",
        "..",
        ".",
        "",
        "/",
        "/dev/watchdog",
        "secret/",
        "./spin",
    ] {
        for name in [
            DebugName::Link(name.to_owned()),
            DebugName::Split(name.to_owned()),
        ] {
            assert_eq!(files.debug(of, &name, Payer::ROOT), None, "{name:?}");
        }
    }
    assert_eq!(
        files.debug(of, &DebugName::BuildId(vec![1]), Payer::ROOT),
        None
    );
}

#[test]
fn directories_that_were_asked_for_are_looked_in_too() {
    let tree = Tree::new();
    tree.write("root/bin/spin", "program");
    tree.write("symbols/.build-id/01/020304050607080a.debug", "by id");
    tree.write("symbols/bin/spin.debug", "by path");
    tree.write("symbols/x.debug", "by name");
    let folder = File::open(tree.path("symbols")).expect("a folder");
    let mut files = Files::new(vec![Arc::new(folder)]);
    let root = Arc::new(File::open(tree.path("root")).expect("a folder"));
    let place = Place::Below(root.clone(), "bin/spin".into());
    let of = files
        .find(place, &root, Path::new("/bin/spin"), None, ROOTS)
        .expect("it is there");
    for (name, expected) in [
        (
            DebugName::BuildId(vec![1, 2, 3, 4, 5, 6, 7, 8, 10]),
            "by id",
        ),
        (DebugName::Link("spin.debug".to_owned()), "by path"),
        (DebugName::Link("x.debug".to_owned()), "by name"),
    ] {
        let found = files.debug(of, &name, Payer::ROOT).expect("it is there");
        assert_eq!(text(files.open(found)).as_deref(), Some(expected));
    }
}

#[test]
fn a_map_of_a_compiler_belongs_to_its_process() {
    let tree = Tree::new();
    tree.write("tmp/perf-7.map", "1000 10 f\n");
    let mut files = Files::new(Vec::new());
    let own = fs::metadata(tree.path("tmp/perf-7.map"))
        .expect("a file")
        .uid();
    symlink("perf-7.map", tree.path("tmp/perf-9.map")).expect("a link");
    assert_eq!(
        files.find_owned(&tree.root(), Path::new("tmp/perf-9.map"), own, Payer::ROOT),
        None,
        "a link names what others have written"
    );
    let mut find =
        |user| files.find_owned(&tree.root(), Path::new("tmp/perf-7.map"), user, Payer::ROOT);
    let id = find(own).expect("it is there");
    tree.write("tmp/perf-7.map", "1000 10 f\n2000 10 g\n");
    assert_eq!(find(own), Some(id), "it has grown");
    if own == 0 {
        std::os::unix::fs::chown(tree.path("tmp/perf-7.map"), Some(1234), None).expect("root");
    }
    assert_eq!(find(own.wrapping_add(1)), None, "a stranger's");
    tree.fifo("tmp/perf-8.map");
    assert_eq!(
        files.find_owned(&tree.root(), Path::new("tmp/perf-8.map"), own, Payer::ROOT),
        None
    );
}

#[test]
fn files_that_the_kernel_makes_up_are_not_opened() {
    let root = Arc::new(File::open("/").expect("the root"));
    let mut files = Files::new(Vec::new());
    let mut find = |path: &str| {
        let place = Place::Below(root.clone(), PathBuf::from(path));
        files.find(place, &root, Path::new(path), None, ROOTS)
    };
    assert_eq!(find("proc/sys/kernel/ostype"), None);
    assert_eq!(find("sys/kernel/mm/transparent_hugepage/enabled"), None);
    let own = std::env::current_exe().expect("a path");
    let own = own.strip_prefix("/").expect("absolute").to_str();
    assert!(find(own.expect("text")).is_some(), "a disk's");
}

/// The root directory may be a stranger's own, with a copy of anybody's program in it, and what it has for debug information.
#[test]
#[ignore = "needs root, to give files away"]
fn debug_information_belongs_to_its_programs_user_or_to_root() {
    let tree = Tree::new();
    tree.write("bin/spin", "program");
    tree.write("usr/lib/debug/bin/spin.debug", "theirs");
    tree.write("bin/spin.dwp", "theirs");
    tree.write("symbols/bin/other.debug", "anybody's");
    let name = DebugName::Link("spin.debug".to_owned());
    for (of_program, of_debug, is_taken) in [
        (0, 0, true),
        (0, 1234, false),
        (1234, 0, true),
        (1234, 1234, true),
        (1234, 1235, false),
    ] {
        let own = |path: &str, user| {
            std::os::unix::fs::chown(tree.path(path), Some(user), None).expect("root");
        };
        own("bin/spin", of_program);
        own("usr/lib/debug/bin/spin.debug", of_debug);
        own("bin/spin.dwp", of_debug);
        own("symbols/bin/other.debug", of_debug);
        let folder = File::open(tree.path("symbols")).expect("a folder");
        let mut files = Files::new(vec![Arc::new(folder)]);
        let of = program(&mut files, &tree, "/bin/spin").expect("it is there");
        for name in [&name, &DebugName::Package] {
            let found = files.debug(of, name, Payer::ROOT);
            assert_eq!(found.is_some(), is_taken, "{of_program} {of_debug}");
        }
        let asked_for = DebugName::Link("other.debug".to_owned());
        assert!(
            files.debug(of, &asked_for, Payer::ROOT).is_some(),
            "by who traces"
        );
    }
}

/// Who finds a file first does not say where others find it: neither the file nor its debug information.
#[test]
fn a_file_has_a_number_for_each_name_and_root() {
    let tree = Tree::new();
    tree.write("lib/libc.so", "libc");
    tree.write("bin/spin", "program");
    tree.write("usr/lib/debug/lib/libc.debug", "its own");
    let mut files = Files::new(Vec::new());
    let spin = program(&mut files, &tree, "/bin/spin").expect("it is there");
    symlink("/lib/libc.so", tree.path("bin/spin.dwp")).expect("a link");
    let first = files
        .debug(spin, &DebugName::Package, Payer::ROOT)
        .expect("a link");
    let libc = program(&mut files, &tree, "/lib/libc.so").expect("it is there");
    assert_ne!(first, libc);
    let key = |id| files.used(id, Payer::Unknown).expect("known").of;
    assert_eq!(files.name(libc), Some("/lib/libc.so"));
    assert_eq!(key(libc), key(first), "one file to bar");
    fs::remove_file(tree.path("bin/spin.dwp")).expect("removed");
    assert!(files.open(first).is_none());
    assert_eq!(text(files.open(libc)).as_deref(), Some("libc"));
    let link = DebugName::Link("libc.debug".to_owned());
    let found = files.debug(libc, &link, Payer::ROOT).expect("it is there");
    assert_eq!(text(files.open(found)).as_deref(), Some("its own"));
    // By a link of a process, which goes with that, and by its path.
    tree.write("bin/other", "other");
    symlink("../bin/other", tree.path("proc/exe")).expect("a link");
    let folder = Arc::new(File::open(tree.path("proc")).expect("a folder"));
    let by_link = Place::Link(folder, "exe".to_owned());
    let linked = files.find(by_link, &tree.root(), Path::new("/bin/other"), None, ROOTS);
    assert!(linked.is_some());
    assert_eq!(program(&mut files, &tree, "/bin/other"), linked);
    fs::remove_file(tree.path("proc/exe")).expect("removed");
    let other = linked.and_then(|id| files.open(id));
    assert_eq!(text(other).as_deref(), Some("other"));
}
