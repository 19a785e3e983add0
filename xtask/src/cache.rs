//! The cache outside the tree: where it is, who may write to it, and how something enters it.
//!
//! Everything in the cache is complete: it is made under a temporary name, and renamed when it is finished.

use std::{
    env, fs,
    fs::{File, TryLockError},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};

use crate::say::say;

/// The prefix of the name of a folder that is not finished yet.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// How many levels of folders below the cache may hold unfinished folders: nothing is installed deeper.
const SWEEP_DEPTH: u32 = 2;

/// The cache's folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// The right to write to the cache, or to one folder of it. When it is dropped, the next one that waits gets it.
#[must_use]
pub(crate) struct CacheLock {
    _file: File,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// Lets one thread of this run write at a time. Threads of one run wait for each other in silence; only the
/// wait for another run is reported.
static TURN: Mutex<()> = Mutex::new(());

impl Cache {
    /// Opens the cache that the environment names, making its folder.
    pub(crate) fn open() -> Result<Self> {
        let root = location(|name| env::var_os(name).map(PathBuf::from))
            .context("no cache folder: set ISOL_TRACE_CACHE, or HOME")?;
        Self::at(root)
    }

    /// Opens the cache in `root`, making the folder.
    pub(crate) fn at(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root).with_context(|| {
            format!(
                "cannot make the cache folder {}; ISOL_TRACE_CACHE names another",
                root.display()
            )
        })?;
        Ok(Self { root })
    }

    /// A path inside the cache.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.root.join(inside)
    }

    /// Waits for the right to write to the cache.
    pub(crate) fn lock(&self) -> Result<CacheLock> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = CacheLock {
            _turn: Some(turn),
            _file: self.wait_for("lock", "is filling the cache")?,
        };
        // Nobody else writes now: whatever is unfinished was left by a run that was killed.
        sweep(&self.root, SWEEP_DEPTH)?;
        Ok(lock)
    }

    /// Waits for the right to a long task, which works in the folder `inside` of the cache. Meanwhile others
    /// may write to the rest of the cache. Returns the path of that folder, which has been emptied.
    pub(crate) fn lock_folder(&self, inside: &str) -> Result<(CacheLock, PathBuf)> {
        let lock = CacheLock {
            _turn: None,
            _file: self.wait_for(&format!("{inside}.lock"), "is at this as well")?,
        };
        let folder = self.path(inside);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        Ok((lock, folder))
    }

    /// Locks the file `name`. If another run holds the lock, says so and waits; `does` is what that run does.
    fn wait_for(&self, name: &str, does: &str) -> Result<File> {
        let path = self.path(name);
        let file = File::create(&path)
            .with_context(|| format!("cannot write to the cache: {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                say(format!("setup: waiting for another run that {does}"));
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(file)
    }

    /// Has `make` fill a new folder and, when it succeeds, puts that folder at `inside`.
    ///
    /// What stood there before is replaced; a failed or killed `make` leaves it as it was.
    pub(crate) fn install(
        &self,
        _lock: &CacheLock,
        inside: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let target = self.path(inside);
        let parent = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent)?;
        let temporary = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(parent)?;
        let content = temporary.path().join("content");
        fs::create_dir(&content)?;
        make(&content)?;
        if target.exists() {
            fs::rename(&target, temporary.path().join("replaced"))?;
        }
        fs::rename(&content, &target)
            .with_context(|| format!("cannot put {} in place", target.display()))?;
        Ok(target)
    }

    /// Points the symlink `inside` at `to`, in one step.
    pub(crate) fn link(&self, _lock: &CacheLock, inside: &str, to: &Path) -> Result<()> {
        let target = self.path(inside);
        let parent = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent)?;
        let temporary = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(parent)?;
        let link = temporary.path().join("link");
        symlink(to, &link)?;
        fs::rename(&link, &target)
            .with_context(|| format!("cannot put {} in place", target.display()))?;
        Ok(())
    }
}

/// Removes the unfinished folders that killed runs left in `folder`, and in folders up to `depth` levels below it.
fn sweep(folder: &Path, depth: u32) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path())?;
        } else if depth > 0 {
            sweep(&entry.path(), depth - 1)?;
        }
    }
    Ok(())
}

/// The cache's folder, as the environment names it. `variable` reads one variable.
fn location(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let named = |name| variable(name).filter(|path| path.is_absolute());
    named("ISOL_TRACE_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|path| path.join("isol-trace")))
        .or_else(|| named("HOME").map(|path| path.join(".cache/isol-trace")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &'static [(&str, &str)]) -> Option<PathBuf> {
        location(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn the_most_particular_variable_wins() {
        assert_eq!(
            with(&[("ISOL_TRACE_CACHE", "/a"), ("HOME", "/h")]),
            Some("/a".into())
        );
        assert_eq!(
            with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]),
            Some("/x/isol-trace".into())
        );
        assert_eq!(
            with(&[("XDG_CACHE_HOME", ""), ("HOME", "/h")]),
            Some("/h/.cache/isol-trace".into())
        );
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn a_failed_make_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let lock = cache.lock().unwrap();
        let write = |text: &'static str| {
            move |path: &Path| fs::write(path.join("file"), text).map_err(Into::into)
        };
        let read = || fs::read_to_string(cache.path("a/b/file")).unwrap();

        cache.install(&lock, "a/b", write("first")).unwrap();
        assert_eq!(read(), "first");
        cache
            .install(&lock, "a/b", |path| {
                fs::write(path.join("file"), "half")?;
                anyhow::bail!("cut off")
            })
            .unwrap_err();
        assert_eq!(read(), "first");
        cache.install(&lock, "a/b", write("second")).unwrap();
        assert_eq!(read(), "second");
        let left: Vec<_> = fs::read_dir(cache.path("a")).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing unfinished stays: {left:?}");
    }

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().into()).unwrap();
        for inside in [
            ".unfinished-a/x",
            "tools/.unfinished-b",
            "apt/guests/.unfinished-c",
        ] {
            fs::create_dir_all(cache.path(inside)).unwrap();
        }
        fs::create_dir_all(cache.path("tools/finished")).unwrap();
        let _lock = cache.lock().unwrap();
        assert!(!cache.path(".unfinished-a").exists());
        assert!(!cache.path("tools/.unfinished-b").exists());
        assert!(!cache.path("apt/guests/.unfinished-c").exists());
        assert!(cache.path("tools/finished").exists());
    }

    #[test]
    fn a_locked_folder_is_empty_and_not_swept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().into()).unwrap();
        fs::create_dir_all(cache.path("work/left")).unwrap();
        let (_alone, work) = cache.lock_folder("work").unwrap();
        assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
        let _lock = cache.lock().unwrap();
        assert!(work.exists());
    }

    #[test]
    fn a_link_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().into()).unwrap();
        let lock = cache.lock().unwrap();
        cache.link(&lock, "bin/tool", Path::new("/one")).unwrap();
        cache.link(&lock, "bin/tool", Path::new("/two")).unwrap();
        assert_eq!(
            fs::read_link(cache.path("bin/tool")).unwrap(),
            Path::new("/two")
        );
    }
}
