//! The version in a kernel's release.

/// Major and minor number of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

impl Release {
    /// Reads the start of what `uname -r` prints; `None` where it is no version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, rest) = text.split_once('.')?;
        let end = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        Some(Self(major.parse().ok()?, rest.get(..end)?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_as_numbers() {
        assert_eq!(
            Release::parse("6.12.117+deb13-cloud-amd64"),
            Some(Release(6, 12))
        );
        assert_eq!(Release::parse("7.2-rc1"), Some(Release(7, 2)));
        assert!(Release(6, 12) > Release(6, 5) && Release(7, 2) > Release(6, 18));
        assert_eq!(Release::parse("linux"), None);
        assert_eq!(Release::parse("6.x"), None);
    }
}
