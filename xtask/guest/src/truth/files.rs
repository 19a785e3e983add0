//! What the kernel's files say.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// A file's text without the newline at its end.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.trim_end().to_owned())
}

/// Reads the kernel's list format, such as `1-3,5`.
pub fn cpu_list(text: &str) -> Result<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text
        .split(',')
        .filter(|part| !matches!(*part, "" | "(null)"))
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u32 = first.parse().with_context(|| text.to_owned())?;
        let last: u32 = last.parse().with_context(|| text.to_owned())?;
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpu_list("1-3,5").unwrap(), [1, 2, 3, 5]);
        assert_eq!(cpu_list("").unwrap(), [0; 0]);
        assert_eq!(
            cpu_list("(null)").unwrap(),
            [0; 0],
            "as nohz_full says none"
        );
        cpu_list("1-x").unwrap_err();
    }
}
