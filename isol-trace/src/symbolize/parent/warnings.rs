//! What a person should know of names that are missing: no more of it than a person reads, whatever strangers do.

use std::collections::HashSet;

/// Files that are named in sentences of a kind. A stranger makes as many as it likes.
const FILES: usize = 8;

/// Sentences of a kind, some of them about files.
#[derive(Debug)]
pub(super) struct Warnings {
    /// What the last sentence about files says of all others.
    others: &'static str,
    /// Files that were named, by their paths: their bytes may be others each time.
    files: HashSet<String>,
    /// That of all others was said.
    is_full: bool,
    /// What has not been taken.
    sentences: Vec<String>,
}

impl Warnings {
    /// None yet. `others` is what all files have that are not named.
    pub(super) fn new(others: &'static str) -> Self {
        Self {
            others,
            files: HashSet::new(),
            is_full: false,
            sentences: Vec::new(),
        }
    }

    /// Something that happens once.
    pub(super) fn once(&mut self, sentence: String) {
        self.sentences.push(sentence);
    }

    /// Something about the file at a path, if that was not named before.
    pub(super) fn of_file(&mut self, path: &str, sentence: impl FnOnce() -> String) {
        if self.is_full || self.files.contains(path) {
            return;
        }
        if self.files.len() < FILES {
            self.files.insert(path.to_owned());
            self.sentences.push(sentence());
        } else {
            self.is_full = true;
            self.sentences
                .push(format!("{}, which is not said of each", self.others));
        }
    }

    /// Takes what was not taken before.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sentences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_once_and_only_so_many_are() {
        let mut warnings = Warnings::new("more files lack names");
        warnings.once("no files".to_owned());
        for round in 0..3 {
            // It is another file each time.
            warnings.of_file("/tmp/0", || format!("0 in {round}"));
        }
        for round in 0..3 {
            for file in 0..20 {
                warnings.of_file(&format!("/tmp/{file}"), || format!("{file} in {round}"));
            }
        }
        let mut expected = vec!["no files".to_owned()];
        expected.extend((0..FILES).map(|file| format!("{file} in 0")));
        expected.push("more files lack names, which is not said of each".to_owned());
        assert_eq!(warnings.take(), expected);
        assert_eq!(warnings.take(), Vec::<String>::new());
    }
}
