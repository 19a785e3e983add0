use std::{fs, os::unix::fs::symlink};

use super::*;
use crate::attrib::{mappings::Act, user_maps::Backing};

const PID: Pid = Pid(7);
const CODE: Address = Address(0x40_1010);

/// A tree with one process that maps `/bin/spin`, and a file of that name in the tracer's own root.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().expect("a folder"));
        tree.write("bin/spin", "ours");
        symlink_in(&tree, "proc/self/ns/mnt", "mnt:[1]");
        tree.map("bin/spin");
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    /// Writes the process's maps, which have the inode of `file`.
    fn map(&self, file: &str) {
        let inode = fs::metadata(self.path(file)).expect("it is there").ino();
        let maps = format!("00401000-00480000 r-xp 00001000 fe:00 {inode}  /bin/spin\n");
        self.write("proc/7/maps", &maps);
    }
}

/// Where the process's file is opened, if it is.
fn opened(processes: &mut Processes) -> Option<MappedFile> {
    let process = processes.with_code_at(PID, CODE)?;
    let mapping = process.maps.find(CODE)?;
    let Backing::File { path, inode } = &mapping.backing else {
        return None;
    };
    processes.open_path(PID, &process, mapping, path, *inode)
}

fn symlink_in(tree: &Tree, path: &str, to: impl AsRef<Path>) {
    let path = tree.path(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    symlink(to, path).expect("a link");
}

#[test]
fn a_process_of_our_own_namespace_has_our_files() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[1]");
    symlink_in(&tree, "proc/7/root", tree.0.path());
    let file = opened(&mut Processes::new(tree.0.path(), None));
    let expected = MappedFile {
        path: tree.path("bin/spin"),
        root: tree.0.path().to_owned(),
    };
    assert_eq!(file, Some(expected));
}

/// The file of the same name that we have is another one, though its inode be the same number.
#[test]
fn a_containers_files_are_its_own_and_outlive_its_process() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[2]");
    tree.write("proc/7/root/bin/spin", "theirs");
    tree.map("proc/7/root/bin/spin");
    let mut processes = Processes::new(tree.0.path(), None);
    let file = opened(&mut processes).expect("it is there");
    assert_eq!(fs::read_to_string(&file.path).expect("a file"), "theirs");
    assert_eq!(file.path, file.root.join("bin/spin"));
    // Another process of the container has the same files by the same path: they are parsed once.
    fs::create_dir_all(tree.path("proc/8")).expect("a folder");
    symlink_in(&tree, "proc/8/ns/mnt", "mnt:[2]");
    symlink_in(&tree, "proc/8/root", tree.path("proc/7/root"));
    fs::copy(tree.path("proc/7/maps"), tree.path("proc/8/maps")).expect("a copy");
    let other = processes.with_code_at(Pid(8), CODE).expect("it lives");
    let mapping = other.maps.find(CODE).expect("code");
    let Backing::File { path, inode } = &mapping.backing else {
        panic!("{mapping:?}")
    };
    let same = processes.open_path(Pid(8), &other, mapping, path, *inode);
    assert_eq!(same.as_ref(), Some(&file));
    // The process ends, its directory in `proc` goes, its root stays.
    fs::rename(tree.path("proc/7/root"), tree.path("container")).expect("moved");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    let file = opened(&mut processes).expect("it is still there");
    assert_eq!(fs::read_to_string(file.path).expect("a file"), "theirs");
    // One that maps our inode by a name of its own is not given our file.
    tree.map("bin/spin");
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[2]");
    symlink_in(&tree, "proc/7/root", tree.path("container"));
    processes.forget(PID);
    assert_eq!(opened(&mut processes), None);
}

#[test]
fn where_the_namespace_cannot_be_read_every_path_is_tried() {
    let tree = Tree::new();
    let mut processes = Processes::new(tree.0.path(), None);
    let file = opened(&mut processes).expect("it is there");
    assert_eq!(file.path, tree.path("bin/spin"));
    tree.write("proc/7/root/bin/spin", "theirs");
    tree.map("proc/7/root/bin/spin");
    processes.forget(PID);
    let file = opened(&mut processes).expect("it is there");
    assert_eq!(file.path, tree.path("proc/7/root/bin/spin"));
    // Deleted meanwhile: the kernel's own link still leads to it.
    fs::remove_file(tree.path("proc/7/root/bin/spin")).expect("removed");
    tree.write("proc/7/map_files/401000-480000", "mapped");
    tree.map("proc/7/map_files/401000-480000");
    processes.forget(PID);
    let file = opened(&mut processes).expect("it is there");
    assert_eq!(file.path, tree.path("proc/7/map_files/401000-480000"));
}

#[test]
fn a_sender_that_executes_another_program_is_read_again() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/exe", "/bin/spin");
    let mut processes = Processes::new(tree.0.path(), None);
    let first = processes.sender(PID, CODE).expect("it lives");
    let again = processes.sender(PID, CODE).expect("it lives");
    assert!(Arc::ptr_eq(&first, &again), "read once");
    fs::remove_file(tree.path("proc/7/exe")).expect("removed");
    let dead = processes.sender(PID, CODE).expect("it is remembered");
    assert!(Arc::ptr_eq(&first, &dead));
    symlink_in(&tree, "proc/7/exe", "/bin/other");
    let other = processes.sender(PID, CODE).expect("it lives");
    assert!(!Arc::ptr_eq(&first, &other), "another program");
}

/// As for a sender: an `execve` need not have been recorded.
#[test]
fn a_victim_that_executes_another_program_unseen_is_read_again() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/exe", "/bin/spin");
    let mut processes = Processes::new(tree.0.path(), None);
    let first = processes.with_code_at(PID, CODE).expect("it lives");
    let again = processes.with_code_at(PID, CODE).expect("it lives");
    assert!(Arc::ptr_eq(&first, &again), "read once");
    // A library that was loaded later: the same program, read again.
    tree.write(
        "proc/7/maps",
        "00401000-00480000 r-xp 00001000 fe:00 1 /bin/spin\n7f00000000-7f00001000 r-xp 0 fe:00 2 /lib/x\n",
    );
    let more = processes.with_code_at(PID, Address(0x7f_0000_0010));
    let more = more.expect("it lives");
    assert!(!Arc::ptr_eq(&first, &more));
    assert_eq!(first.number, more.number);
    fs::remove_file(tree.path("proc/7/exe")).expect("removed");
    symlink_in(&tree, "proc/7/exe", "/bin/other");
    let other = processes.with_code_at(PID, CODE).expect("it lives");
    assert_ne!(first.number, other.number, "another program");
    // A zombie's files are empty: what was known of it stays.
    tree.write("proc/7/maps", "");
    let dead = processes.with_code_at(PID, Address(0x10)).expect("known");
    assert!(Arc::ptr_eq(&other, &dead));
}

/// A page of a library, as it is recorded.
fn library(page: u64, inode: u64) -> Act {
    let mapping = Mapping::recorded(page << 12, 1 << 12, 0, inode, b"/lib/x.so");
    Act::Map { pid: PID, mapping }
}

fn inode_at(process: &Process, address: u64) -> Option<u64> {
    match process.maps.find(Address(address))?.backing {
        Backing::File { inode, .. } => Some(inode),
        _ => None,
    }
}

#[test]
fn what_a_process_mapped_after_it_was_read_and_before_it_died_is_known() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[1]");
    symlink_in(&tree, "proc/7/root", tree.0.path());
    let mut processes = Processes::new(tree.0.path(), None);
    let before = (monotonic(), library(0x401, 1));
    let first = processes.with_code_at(PID, CODE).expect("it lives");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    let later = (monotonic(), library(0x7000, 2));
    processes.mappings = Some(Mappings::told([before, later]));
    let both = processes.with_code_at(PID, Address(0x700_0010));
    let both = both.expect("it is recorded");
    assert_eq!(inode_at(&both, 0x700_0010), Some(2));
    assert_eq!(inode_at(&both, CODE.0), inode_at(&first, CODE.0));
    assert_eq!(both.number, first.number, "the same program");
    let opened = opened(&mut processes).expect("as it was known");
    assert_eq!(opened.path, tree.path("bin/spin"));
    let again = processes.with_code_at(PID, Address(0x10)).expect("known");
    assert!(Arc::ptr_eq(&both, &again), "nothing is new");
}

#[test]
fn the_last_program_of_a_dead_process_is_another_one() {
    let tree = Tree::new();
    let mut processes = Processes::new(tree.0.path(), None);
    let first = processes.with_code_at(PID, CODE).expect("it lives");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    let executed = (monotonic(), Act::Exec { pid: PID });
    let mapped = (monotonic(), library(0x7000, 2));
    processes.mappings = Some(Mappings::told([executed, mapped]));
    for lookup in [Processes::with_code_at, Processes::sender] {
        let other = lookup(&mut processes, PID, CODE).expect("it is recorded");
        assert_ne!(first.number, other.number);
        assert_eq!(inode_at(&other, CODE.0), None);
        assert_eq!(inode_at(&other, 0x700_0010), Some(2));
    }
}

#[test]
fn a_child_that_is_dead_has_its_parents_code() {
    let tree = Tree::new();
    let (pid, parent) = (Pid(8), PID);
    let forked = (monotonic(), Act::Fork { pid, parent });
    let mappings = Mappings::told([forked.clone()]);
    let mut processes = Processes::new(tree.0.path(), Some(mappings));
    let child = processes.with_code_at(pid, CODE).expect("its parent lives");
    assert!(child.maps.find(CODE).is_some());
    let executed = (monotonic(), Act::Exec { pid: parent });
    let mappings = Mappings::told([forked, executed]);
    let mut processes = Processes::new(tree.0.path(), Some(mappings));
    let child = processes.with_code_at(pid, CODE);
    assert!(child.is_none(), "another program's by now");
}

/// It calls its files by other names than the maps that we read.
#[test]
fn a_recorded_name_is_below_the_processs_own_root() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[1]");
    tree.write("jail/lib/x.so", "theirs");
    symlink_in(&tree, "proc/7/root", tree.path("jail"));
    let mut processes = Processes::new(tree.0.path(), None);
    processes.with_code_at(PID, CODE).expect("it lives");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    let inode = fs::metadata(tree.path("jail/lib/x.so"))
        .expect("a file")
        .ino();
    let later = (monotonic(), library(0x7000, inode));
    processes.mappings = Some(Mappings::told([later]));
    let address = Address(0x700_0010);
    let process = processes.with_code_at(PID, address).expect("recorded");
    let mapping = process.maps.find(address).expect("code");
    let file = processes.open_path(PID, &process, mapping, Path::new("/lib/x.so"), inode);
    let file = file.expect("it is there");
    assert_eq!(fs::read_to_string(file.path).expect("a file"), "theirs");
}

#[test]
fn maps_are_read_so_many_times_at_once_and_so_many_a_second() {
    let start = Instant::now();
    let mut limit = Limit::new(start);
    let allowed = |limit: &mut Limit, now| (0..1000).filter(|_| limit.allows(now)).count();
    assert_eq!(allowed(&mut limit, start), BURST as usize);
    let later = start + 5 * REFILL;
    assert_eq!(allowed(&mut limit, later), 5);
    assert_eq!(allowed(&mut limit, later + REFILL / 2), 0);
    assert_eq!(
        allowed(&mut limit, later + Duration::from_hours(1)),
        BURST as usize
    );
}

/// The real thing: a process with another root directory.
#[test]
#[ignore = "needs CAP_SYS_CHROOT"]
fn a_chrooted_process_has_the_files_of_its_root() {
    let root = bottle();
    let file = opened_in(root.path(), "chroot", &[]);
    let root = fs::canonicalize(root.path()).expect("a folder");
    assert_eq!(file.path, root.join("bin/sleep"));
    assert!(file.root.starts_with("/proc/self/fd"), "{file:?}");
}

/// The real thing: a process with a mount namespace and another root directory in it, as a container has.
#[test]
#[ignore = "needs CAP_SYS_ADMIN"]
fn a_container_has_the_files_of_its_root() {
    const PIVOT: &str = "mount --bind \"$0\" \"$0\" && cd \"$0\" && mkdir old && \
                         pivot_root . old && exec ./bin/sleep 100";
    let root = bottle();
    let file = opened_in(root.path(), "unshare", &["--mount", "sh", "-c", PIVOT]);
    assert_eq!(file.path, file.root.join("bin/sleep"));
    assert!(file.root.starts_with("/proc/self/fd"), "{file:?}");
}

/// A folder with `sleep` in it, and what that needs.
fn bottle() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let maps = fs::read_to_string("/proc/self/maps").expect("our own maps");
    let libraries = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .filter(|path| path.to_string_lossy().contains(".so"));
    let loader = PathBuf::from("/lib64/ld-linux-x86-64.so.2");
    for file in libraries.chain([loader, "/bin/sleep".into()]) {
        let to = root.path().join(file.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("folders");
        fs::copy(&file, to).expect("a copy");
    }
    root
}

/// Has `sleep` run in a root directory by a program that gets there, and says where its file was
/// opened after it has ended.
fn opened_in(root: &Path, by: &str, before: &[&str]) -> MappedFile {
    let program = fs::metadata(root.join("bin/sleep")).expect("a copy").ino();
    let mut command = std::process::Command::new(by);
    command.args(before).arg(root);
    if before.is_empty() {
        command.args(["/bin/sleep", "100"]);
    }
    let mut child = command.spawn().expect("it starts");
    let pid = Pid(child.id());
    let mut processes = Processes::new(Path::new("/"), None);
    let begun = Instant::now();
    let found = loop {
        let process = processes.learn(pid).expect("it lives");
        let mapping = process.maps.find_file("bin/sleep").cloned();
        if let Some(mapping) = mapping
            && let Backing::File { inode, .. } = mapping.backing
            && inode == program
        {
            break Some((process, mapping));
        }
        if begun.elapsed() > Duration::from_secs(20) {
            break None;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    child.kill().expect("it lives");
    child.wait().expect("it was killed");
    let (process, mapping) = found.expect("it executes its program");
    let Backing::File { path, inode } = &mapping.backing else {
        panic!("{mapping:?}")
    };
    let file = processes.open_path(pid, &process, &mapping, path, *inode);
    let file = file.expect("its program can be opened");
    assert_eq!(
        fs::metadata(&file.path)
            .expect("while it is remembered")
            .ino(),
        program
    );
    file
}
