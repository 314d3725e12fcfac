//! Where a repository is.

use std::str::FromStr;

use anyhow::bail;

/// A repository of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) peer: String,
    pub(crate) repository: String,
}

impl FromStr for Address {
    type Err = anyhow::Error;

    /// Takes `mesh://HOST/NAME`. Whether they exist is for the agents to say; a name with another `/` in it
    /// would only be a mistake that is told late.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts = text.strip_prefix("mesh://").and_then(|rest| rest.split_once('/'));
        let Some((peer, name)) = parts else {
            bail!("{text:?} is not an address like mesh://HOST/NAME")
        };
        let repository = name.strip_suffix('/').unwrap_or(name);
        if peer.is_empty() || repository.is_empty() {
            bail!("{text:?} lacks the host or the name of mesh://HOST/NAME");
        }
        if repository.contains('/') {
            bail!(
                "{text:?} names a path: repositories have names without /, as opened by the other agent"
            );
        }
        Ok(Self { peer: peer.to_owned(), repository: repository.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_member_and_a_repository() {
        for text in ["mesh://mint/notes.git", "mesh://mint/notes.git/"] {
            let address: Address = text.parse().unwrap();
            assert_eq!((&*address.peer, &*address.repository), ("mint", "notes.git"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_form() {
        for text in [
            "mint/notes",
            "mesh://mint",
            "mesh://mint/",
            "mesh:///notes",
            "https://mint/notes",
            "mesh://mint/a/b",
            "mesh://mint/../x",
            "mesh://mint//etc",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("mesh://"), "{text}: {error}");
        }
    }
}
