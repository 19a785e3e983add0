use std::{
    io::{Read as _, Write as _},
    os::unix::fs::{PermissionsExt as _, symlink},
};

use super::*;

const OLD: &str = "an older and longer log\n";

fn open(path: &Path) -> Result<OutputFile, OutputError> {
    OutputFile::open(path.to_owned(), false)
}

fn replace(path: &Path) -> Result<OutputFile, OutputError> {
    OutputFile::open(path.to_owned(), true)
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_kept_only_once_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    drop(open(&path).unwrap());
    assert!(!path.exists());
    let mut begun = open(&path).unwrap().begin().unwrap();
    begun.file.write_all(b"line\n").unwrap();
    begun.kept.unwrap().check(5).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"line\n");
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others have no business in it");
}

#[test]
fn a_file_that_is_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, OLD).unwrap();
    assert!(matches!(open(&path), Err(OutputError::Exists(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
}

#[test]
fn a_file_is_replaced_once_begun_and_its_other_names_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("log"), folder.path().join("other"));
    fs::write(&path, OLD).unwrap();
    fs::hard_link(&path, &other).unwrap();
    drop(replace(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
    assert_eq!(names(folder.path()), ["log", "other"], "nothing is left");
    let mut begun = replace(&path).unwrap().begin().unwrap();
    begun.file.write_all(b"new\n").unwrap();
    begun.kept.unwrap().check(4).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new\n");
    assert_eq!(fs::read_to_string(&other).unwrap(), OLD);
    assert_eq!(names(folder.path()), ["log", "other"]);
}

#[test]
fn no_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    symlink(&target, &link).unwrap();
    assert!(matches!(open(&link), Err(OutputError::Link(_))));
    assert!(!target.exists());
    fs::write(&target, OLD).unwrap();
    assert!(matches!(open(&link), Err(OutputError::Link(_))));
    drop(replace(&link).unwrap());
    assert!(link.is_symlink());
    let begun = replace(&link).unwrap().begin().unwrap();
    (&begun.file).write_all(b"new\n").unwrap();
    assert!(!link.is_symlink());
    assert_eq!(fs::read_to_string(&target).unwrap(), OLD);
    // To a device either, where anybody can have made it.
    let device = folder.path().join("device");
    symlink("/dev/null", &device).unwrap();
    assert!(matches!(open(&device), Err(OutputError::Link(_))));
}

#[test]
fn two_do_not_write_to_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let first = open(&path).unwrap();
    assert!(matches!(replace(&path), Err(OutputError::InUse(_))));
    let begun = first.begin().unwrap();
    assert!(matches!(replace(&path), Err(OutputError::InUse(_))));
    drop(begun);
    replace(&path).unwrap();
}

#[test]
fn another_file_of_the_same_name_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let output = open(&path).unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    fs::write(&path, "somebody else's\n").unwrap();
    drop(output);
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's\n");
}

#[test]
fn devices_are_written_as_they_are() {
    for name in ["/dev/null", "/dev/full"] {
        for file in [open(Path::new(name)), replace(Path::new(name))] {
            let mut file = file.unwrap();
            assert!(file.is_ready().unwrap());
            assert!(file.begin().unwrap().kept.is_none());
        }
        assert!(
            Path::new(name)
                .metadata()
                .unwrap()
                .file_type()
                .is_char_device()
        );
    }
}

#[test]
fn a_pipe_with_a_name_waits_for_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    let mut output = open(&path).unwrap();
    assert!(!output.is_ready().unwrap());
    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .unwrap();
    assert!(output.is_ready().unwrap());
    let mut begun = output.begin().unwrap();
    begun.file.write_all(b"line\n").unwrap();
    drop(begun);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "line\n");
}

#[test]
fn a_pipe_by_its_descriptor_is_written_and_a_file_is_not() {
    use std::os::fd::AsRawFd as _;
    let (_reader, writer) = io::pipe().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", writer.as_raw_fd()));
    open(&path).unwrap().begin().unwrap();
    let file = tempfile::tempfile().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
    assert!(matches!(open(&path), Err(OutputError::Descriptor(_))));
    for stdout in ["-", "/dev/stdout", "/dev/fd/1"] {
        assert!(matches!(
            Output::open(stdout.into(), false),
            Ok(Output::Stdout)
        ));
    }
}

#[test]
fn what_others_do_to_a_log_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let begin = || {
        let mut begun = replace(&path).unwrap().begin().unwrap();
        begun.file.write_all(b"one\ntwo\n").unwrap();
        let kept = begun.kept.unwrap();
        kept.look(8).unwrap();
        kept
    };
    let kept = begin();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(4)
        .unwrap();
    assert!(matches!(
        kept.look(8),
        Err(Changed::Cut {
            length: 4,
            written: 8
        })
    ));
    drop(kept);
    // Also where more is written afterwards.
    let mut whole = replace(&path).unwrap().begin().unwrap();
    whole.file.write_all(b"one\ntwo\n").unwrap();
    let cut = File::options().write(true).open(&path).unwrap();
    cut.set_len(0).unwrap();
    whole.file.write_all(b"three\n").unwrap();
    assert!(matches!(
        whole.kept.as_ref().unwrap().look(14),
        Err(Changed::Cut {
            length: 6,
            written: 14
        })
    ));
    drop((whole, cut));
    let kept = begin();
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"x")
        .unwrap();
    kept.look(8).unwrap();
    assert!(matches!(
        kept.check(8),
        Err(Changed::Grown { length: 9, .. })
    ));
    drop(kept);
    let kept = begin();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    assert!(matches!(kept.check(8), Err(Changed::Moved)));
    fs::remove_file(folder.path().join("moved")).unwrap();
    assert!(matches!(kept.look(8), Err(Changed::Deleted)));
}

#[test]
fn what_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        folder.path().to_owned(),
        folder.path().join("no/log"),
        PathBuf::new(),
    ] {
        let sentence = open(&path).unwrap_err().to_string();
        assert!(sentence.starts_with(&format!("cannot write the log to '{}': ", path.display())));
    }
}
