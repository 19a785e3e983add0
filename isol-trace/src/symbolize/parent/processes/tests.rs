use std::{fs, io::Read as _, os::unix::fs::symlink};

use super::*;
use crate::symbolize::{
    mappings::Act,
    parent::files::{Files, below},
    shared::maps::Backing,
};

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
        let maps = format!("00401000-00480000 r-xp 00001000 00:00 {inode}  /bin/spin\n");
        self.write("proc/7/maps", &maps);
    }
}

/// Reads maps as the symbolizer does, in this process.
struct Here;

impl ReadMaps for Here {
    fn read(&mut self, mut maps: &File) -> Option<Vec<Mapping>> {
        let mut text = Vec::new();
        maps.read_to_end(&mut text).ok()?;
        Some(UserMaps::parse(&text).into_code())
    }
}

fn under(root: &Path, mappings: Option<Mappings>) -> Processes {
    Processes::new(root, mappings, Quiet::not_yet())
}

/// What is in the process's file, if that is opened.
fn opened(processes: &mut Processes) -> Option<String> {
    opened_at(processes, CODE)
}

fn opened_at(processes: &mut Processes, address: Address) -> Option<String> {
    let process = processes.with_code_at(PID, address, &mut Here)?;
    read_file(processes, PID, &process, process.maps.find(address)?)
}

fn read_file(
    processes: &Processes,
    pid: Pid,
    process: &Process,
    mapping: &Mapping,
) -> Option<String> {
    let mut files = Files::new(Vec::new());
    let id = number_of(processes, &mut files, pid, process, mapping)?;
    let mut text = Vec::new();
    files.open(id)?.read_to_end(&mut text).expect("a file");
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The number that a process's file gets.
fn number_of(
    processes: &Processes,
    files: &mut Files,
    pid: Pid,
    process: &Process,
    mapping: &Mapping,
) -> Option<FileId> {
    let Backing::File { path, file } = &mapping.backing else {
        return None;
    };
    let mapped = Mapped {
        mapping,
        path: path.path(),
        file: *file,
    };
    let reader = Reader {
        payer: process.payer,
        has_bars: false,
    };
    processes.file(files, pid, process, mapped, reader)
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
    let file = opened(&mut under(tree.0.path(), None));
    assert_eq!(file.as_deref(), Some("ours"));
}

/// The file of the same name that we have is another one, though its inode be the same number.
#[test]
fn a_containers_files_are_its_own_and_outlive_its_process() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[2]");
    tree.write("proc/7/root/bin/spin", "theirs");
    tree.map("proc/7/root/bin/spin");
    let mut processes = under(tree.0.path(), None);
    assert_eq!(opened(&mut processes).as_deref(), Some("theirs"));
    // Another process of the container has the same files.
    fs::create_dir_all(tree.path("proc/8")).expect("a folder");
    symlink_in(&tree, "proc/8/ns/mnt", "mnt:[2]");
    symlink_in(&tree, "proc/8/root", tree.path("proc/7/root"));
    fs::copy(tree.path("proc/7/maps"), tree.path("proc/8/maps")).expect("a copy");
    let other = processes.with_code_at(Pid(8), CODE, &mut Here);
    let other = other.expect("it lives");
    let mapping = other.maps.find(CODE).expect("code");
    let same = read_file(&processes, Pid(8), &other, mapping);
    assert_eq!(same.as_deref(), Some("theirs"));
    // The process ends, its directory in `proc` goes, its root stays.
    fs::rename(tree.path("proc/7/root"), tree.path("container")).expect("moved");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    assert_eq!(opened(&mut processes).as_deref(), Some("theirs"));
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
    let mut processes = under(tree.0.path(), None);
    assert_eq!(opened(&mut processes).as_deref(), Some("ours"));
    tree.write("proc/7/root/bin/spin", "theirs");
    tree.map("proc/7/root/bin/spin");
    processes.forget(PID);
    // Whose namespace can be read again has its own root, so this one cannot.
    fs::remove_file(tree.path("proc/self/ns/mnt")).expect("removed");
    assert_eq!(opened(&mut processes).as_deref(), Some("theirs"));
    // Deleted meanwhile: the kernel's own links still lead to it.
    fs::remove_file(tree.path("proc/7/root/bin/spin")).expect("removed");
    tree.write("proc/7/map_files/401000-480000", "mapped");
    tree.map("proc/7/map_files/401000-480000");
    processes.forget(PID);
    assert_eq!(opened(&mut processes).as_deref(), Some("mapped"));
    tree.write("program", "program");
    symlink_in(&tree, "proc/7/exe", tree.path("program"));
    tree.map("program");
    processes.forget(PID);
    assert_eq!(opened(&mut processes).as_deref(), Some("program"));
}

#[test]
fn a_sender_that_executes_another_program_is_read_again() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/exe", "/bin/spin");
    let mut processes = under(tree.0.path(), None);
    let first = processes.sender(PID, CODE, &mut Here).expect("it lives");
    let again = processes.sender(PID, CODE, &mut Here).expect("it lives");
    assert!(Arc::ptr_eq(&first, &again), "read once");
    fs::remove_file(tree.path("proc/7/exe")).expect("removed");
    let dead = processes
        .sender(PID, CODE, &mut Here)
        .expect("it is remembered");
    assert!(Arc::ptr_eq(&first, &dead));
    symlink_in(&tree, "proc/7/exe", "/bin/other");
    let other = processes.sender(PID, CODE, &mut Here).expect("it lives");
    assert!(!Arc::ptr_eq(&first, &other), "another program");
}

/// As for a sender: an `execve` need not have been recorded.
#[test]
fn a_victim_that_executes_another_program_unseen_is_read_again() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/exe", "/bin/spin");
    let mut processes = under(tree.0.path(), None);
    let first = processes
        .with_code_at(PID, CODE, &mut Here)
        .expect("it lives");
    let again = processes
        .with_code_at(PID, CODE, &mut Here)
        .expect("it lives");
    assert!(Arc::ptr_eq(&first, &again), "read once");
    // A library that was loaded later: the same program, read again.
    tree.write(
        "proc/7/maps",
        "00401000-00480000 r-xp 00001000 fe:00 1 /bin/spin\n7f00000000-7f00001000 r-xp 0 fe:00 2 /lib/x\n",
    );
    let more = processes.with_code_at(PID, Address(0x7f_0000_0010), &mut Here);
    let more = more.expect("it lives");
    assert!(!Arc::ptr_eq(&first, &more));
    assert_eq!(first.number, more.number);
    fs::remove_file(tree.path("proc/7/exe")).expect("removed");
    symlink_in(&tree, "proc/7/exe", "/bin/other");
    let other = processes
        .with_code_at(PID, CODE, &mut Here)
        .expect("it lives");
    assert_ne!(first.number, other.number, "another program");
    // A zombie's files are empty: what was known of it stays.
    tree.write("proc/7/maps", "");
    let dead = processes
        .with_code_at(PID, Address(0x10), &mut Here)
        .expect("known");
    assert!(Arc::ptr_eq(&other, &dead));
}

/// A page of a library, as it is recorded.
fn library(page: u64, inode: u64) -> Act {
    let file = FileNumber {
        device: (0, 0),
        inode,
    };
    let mapping = Mapping::recorded(page << 12, 1 << 12, 0, file, b"/lib/x.so");
    Act::Map { pid: PID, mapping }
}

fn inode_at(process: &Process, address: u64) -> Option<u64> {
    match process.maps.find(Address(address))?.backing {
        Backing::File { file, .. } => Some(file.inode),
        _ => None,
    }
}

#[test]
fn what_a_process_mapped_after_it_was_read_and_before_it_died_is_known() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[1]");
    symlink_in(&tree, "proc/7/root", tree.0.path());
    let mut processes = under(tree.0.path(), None);
    let before = (monotonic(), library(0x401, 1));
    let first = processes
        .with_code_at(PID, CODE, &mut Here)
        .expect("it lives");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    let later = (monotonic(), library(0x7000, 2));
    processes.mappings = Some(Mappings::told([before, later]));
    let both = processes.with_code_at(PID, Address(0x700_0010), &mut Here);
    let both = both.expect("it is recorded");
    assert_eq!(inode_at(&both, 0x700_0010), Some(2));
    assert_eq!(inode_at(&both, CODE.0), inode_at(&first, CODE.0));
    assert_eq!(both.number, first.number, "the same program");
    assert_eq!(opened(&mut processes).as_deref(), Some("ours"));
    let again = processes
        .with_code_at(PID, Address(0x10), &mut Here)
        .expect("known");
    assert!(Arc::ptr_eq(&both, &again), "nothing is new");
}

/// Records were lost: what was recorded before is believed of the same program alone, and what came after of anybody.
#[test]
fn after_a_loss_the_same_program_has_its_names_still() {
    let tree = Tree::new();
    fs::remove_file(tree.path("proc/7/maps")).expect("removed");
    symlink_in(&tree, "proc/7/exe", "/usr/bin/spin (deleted)");
    let begun = |vdso: u64, entry: u64| {
        let words = [libc::AT_SYSINFO_EHDR, vdso, libc::AT_ENTRY, entry, 0, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|it| it.to_ne_bytes()).collect();
        fs::write(tree.path("proc/7/auxv"), bytes).expect("a file");
    };
    let mapped = |page: u64, inode, path: &[u8]| {
        let file = FileNumber {
            device: (0, 0),
            inode,
        };
        let mapping = Mapping::recorded(page << 12, 1 << 12, 0, file, path);
        Act::Map { pid: PID, mapping }
    };
    let acts = [
        (1, Act::Exec { pid: PID }),
        (2, mapped(0x401, 5, b"/bin/spin")),
        (3, mapped(0x7000, 0, b"[vdso]")),
        (4, mapped(0x5000, 6, b"/lib/x.so")),
        (
            9,
            Act::Lost {
                records: 1,
                since: MonoNanos(5),
            },
        ),
        (10, mapped(0x6000, 7, b"/lib/y.so")),
    ];
    let acts = acts.map(|(at, act)| (MonoNanos(at), act));
    let inodes = || {
        let mut processes = under(tree.0.path(), Some(Mappings::told(acts.clone())));
        [0x401_000, 0x5_000_000, 0x6_000_000].map(|address| {
            let process = processes.with_code_at(PID, Address(address), &mut Here)?;
            inode_at(&process, address)
        })
    };
    begun(0x7_000_000, 0x401_010);
    assert_eq!(inodes(), [Some(5), Some(6), Some(7)]);
    begun(0x7_001_000, 0x401_010);
    assert_eq!(inodes(), [None, None, Some(7)], "executed again");
    begun(0x7_000_000, 0x5_000_010);
    assert_eq!(inodes(), [None, None, Some(7)], "another program");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    assert_eq!(inodes(), [None, None, Some(7)], "nobody can say");
}

#[test]
fn the_last_program_of_a_dead_process_is_another_one() {
    let tree = Tree::new();
    let mut processes = under(tree.0.path(), None);
    let first = processes
        .with_code_at(PID, CODE, &mut Here)
        .expect("it lives");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    let executed = (monotonic(), Act::Exec { pid: PID });
    let mapped = (monotonic(), library(0x7000, 2));
    processes.mappings = Some(Mappings::told([executed, mapped]));
    for lookup in [Processes::with_code_at, Processes::sender] {
        let other = lookup(&mut processes, PID, CODE, &mut Here).expect("it is recorded");
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
    let mut processes = under(tree.0.path(), Some(mappings));
    let child = processes
        .with_code_at(pid, CODE, &mut Here)
        .expect("its parent lives");
    assert!(child.maps.find(CODE).is_some());
    let executed = (monotonic(), Act::Exec { pid: parent });
    let mappings = Mappings::told([forked, executed]);
    let mut processes = under(tree.0.path(), Some(mappings));
    let child = processes.with_code_at(pid, CODE, &mut Here);
    assert!(child.is_none(), "another program's by now");
}

/// A process of this tree's that lives, and belongs to a user.
fn living(tree: &Tree, pid: u32, user: u32) {
    symlink_in(tree, &format!("proc/{pid}/exe"), "/bin/spin");
    let folder = tree.path(&format!("proc/{pid}"));
    std::os::unix::fs::chown(folder, Some(user), None).expect("root");
}

/// One that was started and has ended.
fn forked(pid: u32, parent: u32) -> (MonoNanos, Act) {
    let (pid, parent) = (Pid(pid), Pid(parent));
    (monotonic(), Act::Fork { pid, parent })
}

#[test]
#[ignore = "needs root, to give files away"]
fn who_has_ended_is_paid_for_by_who_started_it() {
    let tree = Tree::new();
    living(&tree, 7, 1234);
    living(&tree, 6, 0);
    let read = |pid| {
        let code = UserMaps::parse(b"1000-2000 r-xp 0 00:00 5 /x\n").into_code();
        (
            monotonic(),
            Act::Read {
                pid: Pid(pid),
                code,
            },
        )
    };
    let begun = [read(7), read(6), forked(8, 7), forked(9, 8), forked(10, 99)];
    let of_root = [forked(20, 6), forked(21, 20)];
    let acts: Vec<_> = begun.into_iter().chain(of_root).collect();
    let payer = |acts: &[(MonoNanos, Act)], pid| {
        let processes = under(tree.0.path(), Some(Mappings::told(acts.to_vec())));
        processes.payer(Pid(pid))
    };
    for (pid, expected) in [
        (7, Payer::User(1234)),
        (8, Payer::User(1234)),
        (9, Payer::User(1234)),
        (10, Payer::Unknown),
        (20, Payer::ROOT),
        // Who logs in is started by root's processes as well.
        (21, Payer::Unknown),
    ] {
        assert_eq!(payer(&acts, pid), expected, "{pid}");
    }
    // The number of its parent is another process's by now.
    let another = [&acts[..], &[forked(7, 6)]].concat();
    assert_eq!(payer(&another, 8), Payer::Unknown);
    let lost = Act::Lost {
        records: 1,
        since: MonoNanos(0),
    };
    let lost = [&acts[..], &[(monotonic(), lost)]].concat();
    assert_eq!(payer(&lost, 8), Payer::Unknown, "it may be");
}

/// A stranger's processes come one after the other, and each is asked about.
#[test]
#[ignore = "needs root, to give files away"]
fn processes_of_a_stranger_do_not_push_out_those_of_others() {
    let tree = Tree::new();
    living(&tree, 7, 1234);
    let mut processes = under(tree.0.path(), None);
    let owners = processes
        .with_code_at(PID, CODE, &mut Here)
        .expect("it lives");
    for pid in 100..400 {
        living(&tree, pid, 1235);
        let maps = tree.path(&format!("proc/{pid}/maps"));
        fs::copy(tree.path("proc/7/maps"), maps).expect("a copy");
        let process = processes.with_code_at(Pid(pid), CODE, &mut Here);
        assert_eq!(process.expect("it lives").payer, Payer::User(1235));
    }
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    let dead = processes.known(PID).expect("it is remembered");
    assert!(Arc::ptr_eq(&owners, &dead));
}

/// Maps of senders are read so many times a second.
#[test]
#[ignore = "needs root, to give files away"]
fn who_has_many_maps_read_leaves_others_theirs() {
    let tree = Tree::new();
    let mut processes = under(tree.0.path(), None);
    living(&tree, 7, 1234);
    living(&tree, 8, 1235);
    fs::copy(tree.path("proc/7/maps"), tree.path("proc/8/maps")).expect("a copy");
    let stranger = Payer::User(1235);
    let used_up = Limit::new(0, Duration::from_hours(1), Instant::now());
    processes.limits.insert(stranger, used_up, stranger);
    assert!(processes.sender(Pid(8), CODE, &mut Here).is_none());
    assert!(processes.sender(PID, CODE, &mut Here).is_some());
}

/// It calls its files by other names than the maps that we read.
#[test]
fn a_recorded_name_is_below_the_processs_own_root() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[1]");
    tree.write("jail/lib/x.so", "theirs");
    symlink_in(&tree, "proc/7/root", tree.path("jail"));
    let mut processes = under(tree.0.path(), None);
    processes
        .with_code_at(PID, CODE, &mut Here)
        .expect("it lives");
    fs::remove_dir_all(tree.path("proc/7")).expect("removed");
    let inode = fs::metadata(tree.path("jail/lib/x.so"))
        .expect("a file")
        .ino();
    let later = (monotonic(), library(0x7000, inode));
    processes.mappings = Some(Mappings::told([later]));
    let address = Address(0x700_0010);
    assert_eq!(
        opened_at(&mut processes, address).as_deref(),
        Some("theirs")
    );
}

/// What all processes have mapped is read before a trace begins, and then no more of those that may run there.
#[test]
fn maps_are_read_once_before_a_trace_and_then_left_alone() {
    let tree = Tree::new();
    symlink_in(&tree, "proc/7/ns/mnt", "mnt:[1]");
    symlink_in(&tree, "proc/7/root", tree.0.path());
    symlink_in(&tree, "proc/7/exe", "/bin/spin");
    symlink_in(&tree, "proc/8/exe", "/bin/spin");
    tree.write("proc/8/maps", "");
    // A thread of the kernel.
    fs::create_dir(tree.path("proc/9")).expect("a folder");
    fs::copy(tree.path("proc/7/maps"), tree.path("proc/9/maps")).expect("a copy");
    tree.write("proc/uptime", "1");
    let mut processes = under(tree.0.path(), Some(Mappings::unrecorded()));
    let soon = Instant::now() + Duration::from_mins(1);
    assert_eq!(
        processes.read_all(&mut Here, soon),
        1,
        "a process with code"
    );
    // It has no `task` that says where it may run.
    processes.quiet().watch("1".parse().expect("a CPU"));
    tree.write(
        "proc/7/maps",
        "00001000-00002000 r-xp 0 00:00 5 /bin/other\n",
    );
    assert_eq!(opened(&mut processes).as_deref(), Some("ours"));
    let other = processes.with_code_at(PID, Address(0x1010), &mut Here);
    assert!(!has_code(other.as_ref(), Address(0x1010)), "not read again");
    assert!(processes.learn(PID, &mut Here).is_none());
    // Nor is the link that takes the same lock.
    fs::remove_file(tree.path("bin/spin")).expect("removed");
    tree.write("proc/7/map_files/401000-480000", "mapped");
    tree.map("proc/7/map_files/401000-480000");
    assert_eq!(opened(&mut processes), None);
}

#[test]
fn reading_the_maps_of_all_ends_in_time() {
    let tree = Tree::new();
    let processes = under(tree.0.path(), Some(Mappings::unrecorded()));
    assert_eq!(processes.read_all(&mut Here, Instant::now()), 0);
}

/// The real thing: a process with another root directory.
#[test]
#[ignore = "needs CAP_SYS_CHROOT"]
fn a_chrooted_process_has_the_files_of_its_root() {
    let root = bottle();
    opened_in(root.path(), "chroot", &[]);
}

/// Whoever makes mount namespaces would else have the host's programs read anew in each.
#[test]
fn a_file_of_the_host_is_the_hosts_in_every_mount_namespace() {
    let tree = Tree::new();
    let root = |pid: u32| tree.path(&format!("roots/{pid}"));
    for pid in 8..13 {
        fs::create_dir_all(root(pid).join("bin")).expect("folders");
        fs::hard_link(tree.path("bin/spin"), root(pid).join("bin/spin")).expect("a link");
    }
    let mut processes = under(tree.0.path(), None);
    let mut files = Files::new(Vec::new());
    let mut number = |pid: u32, namespace: &str, root: &Path| {
        symlink_in(&tree, &format!("proc/{pid}/ns/mnt"), namespace);
        symlink_in(&tree, &format!("proc/{pid}/root"), root);
        if pid != PID.0 {
            fs::copy(
                tree.path("proc/7/maps"),
                tree.path(&format!("proc/{pid}/maps")),
            )
            .expect("a copy");
        }
        let process = processes
            .with_code_at(Pid(pid), CODE, &mut Here)
            .expect("it lives");
        let mapping = process.maps.find(CODE).expect("code");
        number_of(&processes, &mut files, Pid(pid), &process, mapping)
    };
    let own = number(PID.0, "mnt:[1]", tree.0.path());
    assert!(own.is_some());
    for pid in 8..12 {
        assert_eq!(number(pid, &format!("mnt:[{pid}]"), &root(pid)), own);
    }
    // One that has a file of its own there.
    fs::remove_file(root(12).join("bin/spin")).expect("removed");
    fs::write(root(12).join("bin/spin"), "theirs").expect("a file");
    assert_ne!(number(12, "mnt:[12]", &root(12)), own);
}

/// The real thing: a process with a mount namespace and another root directory in it, as a container has.
#[test]
#[ignore = "needs CAP_SYS_ADMIN"]
fn a_container_has_the_files_of_its_root() {
    const PIVOT: &str = "mount --bind \"$0\" \"$0\" && cd \"$0\" && mkdir old && \
                         pivot_root . old && exec ./bin/sleep 100";
    let root = bottle();
    opened_in(root.path(), "unshare", &["--mount", "sh", "-c", PIVOT]);
}

/// The number of a mount namespace serves again when that is gone, and a root directory that is held from it has none of
/// its mounts any more: a service that is started again has a new one.
#[test]
#[ignore = "needs CAP_SYS_ADMIN"]
fn a_namespace_with_the_number_of_one_that_is_gone_has_its_own_mounts() {
    const MOUNT: &str =
        "mount -t tmpfs none \"$0\" && cp /bin/sleep \"$0\" && echo there && exec sleep 100";
    let folder = tempfile::tempdir().expect("a folder");
    let mut processes = under(Path::new("/"), None);
    for round in 0..6 {
        let mut child = std::process::Command::new("unshare")
            .args(["--mount", "sh", "-c", MOUNT])
            .arg(folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = [0; 6];
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut said).expect("it says so");
        let identity = Identity::read(Path::new("/"), Pid(child.id()));
        let view = processes.view(&identity, Payer::ROOT);
        let inside = folder.path().join("sleep");
        let inside = inside.strip_prefix("/").expect("absolute");
        let is_there = match &view {
            View::Foreign(root) => below(root, inside, OFlags::PATH).is_some(),
            _ => false,
        };
        let again = processes.view(&identity, Payer::ROOT);
        child.kill().expect("it lives");
        child.wait().expect("it was killed");
        assert!(is_there, "{round}: {view:?}");
        let (View::Foreign(one), View::Foreign(other)) = (view, again) else {
            panic!("{round}");
        };
        assert!(Arc::ptr_eq(&one, &other), "{round}: held once");
    }
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

/// Has `sleep` run in a root directory by a program that gets there, and opens its file after it has ended.
fn opened_in(root: &Path, by: &str, before: &[&str]) {
    let program = fs::metadata(root.join("bin/sleep")).expect("a copy").ino();
    let mut command = std::process::Command::new(by);
    command.args(before).arg(root);
    if before.is_empty() {
        command.args(["/bin/sleep", "100"]);
    }
    let mut child = command.spawn().expect("it starts");
    let pid = Pid(child.id());
    let mut processes = under(Path::new("/"), None);
    let begun = Instant::now();
    let found = loop {
        // For a moment of an execve it has no code.
        if let Some(process) = processes.learn(pid, &mut Here)
            && let Some(mapping) = process.maps.find_file("bin/sleep").cloned()
            && let Backing::File { file, .. } = mapping.backing
            && file.inode == program
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
    let text = read_file(&processes, pid, &process, &mapping);
    let copy = fs::read(root.join("bin/sleep")).expect("a copy");
    assert_eq!(text, Some(String::from_utf8_lossy(&copy).into_owned()));
}
