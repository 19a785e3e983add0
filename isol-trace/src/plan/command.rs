//! The command that is started on the watched CPUs: found before anything is attached.

use std::{
    ffi::{CString, OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use std::os::unix::process::CommandExt as _;

use rustix::fs::{Access, AtFlags, CWD};

/// Where a program is looked for without the variable `PATH`, as execvp(3) does.
const DEFAULT_SEARCH_PATH: &str = "/bin:/usr/bin";

/// A command whose program was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandPlan {
    /// The file to execute.
    program: PathBuf,
    /// The command as it was typed: never empty.
    words: Vec<OsString>,
}

/// Why a command cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No folder has it.
    #[error("cannot start '{name}': no folder of PATH has a program of this name", name = .0.display())]
    NotInPath(OsString),
    /// The file that was named is not there, or not to be executed.
    #[error("cannot start '{name}': {why}", name = .name.display())]
    NotExecutable {
        /// As typed.
        name: OsString,
        /// Why not.
        why: Why,
    },
    /// The kernel refused to execute it.
    #[error("cannot start '{name}': {why}", name = .name.display(), why = refusal(.source))]
    Start {
        /// As typed.
        name: OsString,
        /// Why not.
        source: io::Error,
    },
}

/// Why the kernel does not execute a file that is there (execve(2)).
fn refusal(source: &io::Error) -> String {
    match source.raw_os_error() {
        Some(libc::ENOENT) => {
            "the interpreter that it names (its #! line, or the dynamic linker) is not there".into()
        }
        Some(libc::ENOEXEC) => {
            "it is no program that this machine can execute (cut short, or of another one); a script needs a first line such as #!/bin/sh".into()
        }
        _ => source.to_string(),
    }
}

/// Why a file is not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// It is something else.
    #[error("it is a folder or a device, not a program")]
    NotAFile,
    /// It is not ours to execute.
    #[error("it is not executable (chmod +x would make it so)")]
    Forbidden,
}

impl CommandPlan {
    /// Finds the program of a command as the shell would; `None` without a command.
    pub fn find(
        words: Vec<OsString>,
        search_path: Option<&OsStr>,
    ) -> Result<Option<Self>, CommandError> {
        let Some(name) = words.first() else {
            return Ok(None);
        };
        let program = if name.as_encoded_bytes().contains(&b'/') {
            executable(Path::new(name)).map_err(|why| CommandError::NotExecutable {
                name: name.clone(),
                why,
            })?
        } else {
            search(name, search_path.unwrap_or(OsStr::new(DEFAULT_SEARCH_PATH)))?
        };
        Ok(Some(Self { program, words }))
    }

    /// A command whose program was found before; `None` without a word.
    pub(crate) fn known(program: PathBuf, words: Vec<OsString>) -> Option<Self> {
        (!words.is_empty()).then_some(Self { program, words })
    }

    /// The file to execute.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The command as it was typed.
    #[must_use]
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// Its name, as it was typed.
    #[must_use]
    pub fn name(&self) -> String {
        let first = self.words.first();
        first.map_or_else(String::new, |word| word.to_string_lossy().into_owned())
    }

    /// The command, ready to be started.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let mut words = self.words.iter();
        if let Some(name) = words.next() {
            command.arg0(name);
        }
        command.args(words);
        command
    }

    /// How the kernel is asked to execute it.
    pub fn execution(&self) -> Result<Execution, CommandError> {
        Execution::new(&self.program, &self.words)
            .map_err(|nul| self.start_error(io::Error::new(io::ErrorKind::InvalidInput, nul)))
    }

    /// What to say where starting it failed after all.
    #[must_use]
    pub fn start_error(&self, source: io::Error) -> CommandError {
        CommandError::Start {
            name: self.words.first().cloned().unwrap_or_default(),
            source,
        }
    }
}

/// A program and its words as execve(2) takes them.
///
/// The standard library ends with execvp(3), which has /bin/sh read whatever the kernel does not execute, be it a
/// program of another machine.
#[derive(Debug)]
pub struct Execution {
    program: CString,
    /// What `arguments` points into.
    _words: Vec<CString>,
    /// Addresses of the words, and 0 at their end: numbers, so that the whole may go to another thread.
    arguments: Vec<usize>,
}

impl Execution {
    fn new(program: &Path, words: &[OsString]) -> Result<Self, std::ffi::NulError> {
        let words: Vec<_> = words
            .iter()
            .map(|word| CString::new(word.as_bytes()))
            .collect::<Result<_, _>>()?;
        let addresses = words.iter().map(|word| word.as_ptr().addr());
        Ok(Self {
            program: CString::new(program.as_os_str().as_bytes())?,
            arguments: addresses.chain([0]).collect(),
            _words: words,
        })
    }

    /// Has a command execute this as the last thing before the standard library would.
    pub fn instead_of_searching(self, command: &mut Command) {
        unsafe extern "C" {
            static environ: *const *const libc::c_char;
        }
        let execute = move || {
            // As a whole: a closure takes along only the fields that it uses, and the words are used by address.
            let this = &self;
            // SAFETY: program and words are strings that end in a zero and live as long as this closure, their list
            // ends in a null pointer, and the environment is this process's own. Between fork and exec there is
            // no other thread that could change it.
            unsafe {
                libc::execve(
                    this.program.as_ptr(),
                    this.arguments.as_ptr().cast(),
                    environ,
                );
            }
            Err(io::Error::last_os_error())
        };
        // SAFETY: the closure makes one system call on memory that was laid out before the fork.
        unsafe { command.pre_exec(execute) };
    }
}

/// Looks a name up in the folders of a search path; an empty one is the current folder.
fn search(name: &OsStr, search_path: &OsStr) -> Result<PathBuf, CommandError> {
    let mut refused = None;
    if !name.is_empty() {
        for folder in std::env::split_paths(search_path) {
            let folder = if folder.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                folder
            };
            match executable(&folder.join(name)) {
                Ok(program) => return Ok(program),
                Err(Why::Forbidden) => refused = Some(Why::Forbidden),
                Err(_) => {}
            }
        }
    }
    Err(refused.map_or_else(
        || CommandError::NotInPath(name.to_owned()),
        |why| CommandError::NotExecutable {
            name: name.to_owned(),
            why,
        },
    ))
}

/// Checks that a file can be executed by this process.
fn executable(path: &Path) -> Result<PathBuf, Why> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Why::Forbidden,
        _ => Why::Missing,
    })?;
    if !metadata.is_file() {
        return Err(Why::NotAFile);
    }
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => Ok(path.to_owned()),
        Err(_) => Err(Why::Forbidden),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn find(words: &[&str], search_path: &OsStr) -> Result<Option<CommandPlan>, CommandError> {
        let words = words.iter().map(OsString::from).collect();
        CommandPlan::find(words, Some(search_path))
    }

    fn program(folder: &Path, name: &str, mode: u32) {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\necho \"$0\" \"$@\"\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn no_words_are_no_command() {
        assert_eq!(find(&[], OsStr::new("/bin")).unwrap(), None);
    }

    #[test]
    fn the_first_executable_of_the_search_path_is_started_under_its_name() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        program(first.path(), "task", 0o644);
        program(second.path(), "task", 0o755);
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        let plan = find(&["task", "a b"], &path).unwrap().unwrap();
        assert_eq!(plan.words(), ["task", "a b"]);
        let output = plan.command().output().unwrap();
        let expected = format!("{} a b\n", second.path().join("task").display());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn what_the_kernel_does_not_execute_is_not_given_to_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("cut", &b"\x7fELF\x02\x01\x01"[..]),
            ("script", b"echo it was run\n"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let plan = find(&[path.to_str().unwrap()], OsStr::new(""))
                .unwrap()
                .unwrap();
            let mut command = plan.command();
            plan.execution().unwrap().instead_of_searching(&mut command);
            let error = command.output().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOEXEC), "{name}");
            let sentence = plan.start_error(error).to_string();
            assert!(sentence.contains("no program that this machine can execute"));
        }
    }

    #[test]
    fn words_and_environment_come_through() {
        let plan = find(
            &["sh", "-c", "echo \"$0 $1 $ISOL_TRACE_TEST\"", "a b", "c"],
            OsStr::new("/bin"),
        );
        let plan = plan.unwrap().unwrap();
        let mut command = plan.command();
        plan.execution().unwrap().instead_of_searching(&mut command);
        let output = command.output().unwrap();
        let path = std::env::var("ISOL_TRACE_TEST").unwrap_or_default();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("a b c {path}\n")
        );
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        program(folder.path(), "plain", 0o644);
        let path = folder.path().as_os_str();
        let sentence = |words: &[&str]| find(words, path).unwrap_err().to_string();
        assert_eq!(
            sentence(&["nowhere"]),
            "cannot start 'nowhere': no folder of PATH has a program of this name"
        );
        assert!(sentence(&["plain"]).ends_with("it is not executable (chmod +x would make it so)"));
        assert!(sentence(&[""]).contains("PATH"));
        assert!(sentence(&["./no/such"]).ends_with("there is no such file"));
        assert!(sentence(&["/"]).ends_with("not a program"));
    }
}
