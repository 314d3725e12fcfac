use std::cmp::Ordering;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::ByteCount;
use crate::{PATH_BYTES_MAX, PATH_COMPONENT_BYTES_MAX, PATH_DEPTH_MAX};

/// Why bytes are no path beneath a root. The stable word is `path_refused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It starts at the root of the file system.
    #[error("the path is absolute")]
    Absolute,
    /// Nothing stands between two separators, or behind the last one.
    #[error("the path has an empty component")]
    Empty,
    /// A component is `.` or `..`.
    #[error("the path has a component of dots")]
    Dots,
    /// A component holds a separator or NUL.
    #[error("a component holds a character that no name may have")]
    Character,
    /// A component is longer than [`PATH_COMPONENT_BYTES_MAX`].
    #[error("a component is longer than {PATH_COMPONENT_BYTES_MAX} bytes")]
    ComponentTooLong,
    /// The path is longer than [`PATH_BYTES_MAX`].
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// The path has more than [`PATH_DEPTH_MAX`] components.
    #[error("the path has more than {PATH_DEPTH_MAX} components")]
    TooDeep,
}

/// A place beneath a root, as bytes: names that are not UTF-8 travel as they are.
///
/// Ordered by components, so that a folder comes before what is in it, and that before the folder's siblings.
/// Shown escaped: `\\` for a backslash, `\xNN` for what is not text or cannot be seen.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RelativePath(Vec<u8>);

impl RelativePath {
    /// The root itself.
    pub const ROOT: Self = Self(Vec::new());

    /// Reads components separated by `/`; no bytes are the root itself.
    ///
    /// # Errors
    /// [`PathError`]: the rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.is_empty() {
            return Ok(Self::ROOT);
        }
        if bytes.starts_with(b"/") {
            return Err(PathError::Absolute);
        }
        Self::from_components(bytes.split(|byte| *byte == b'/'))
    }

    /// Joins components; none are the root itself.
    ///
    /// # Errors
    /// [`PathError`]: the rule that is broken.
    pub fn from_components<'c>(
        components: impl IntoIterator<Item = &'c [u8]>,
    ) -> Result<Self, PathError> {
        let mut path = Self::ROOT;
        for (index, component) in components.into_iter().enumerate() {
            check_component(component)?;
            if index == PATH_DEPTH_MAX {
                return Err(PathError::TooDeep);
            }
            path.append(component);
            if path.0.len() > PATH_BYTES_MAX {
                return Err(PathError::TooLong);
            }
        }
        Ok(path)
    }

    /// This path with `other` beneath it.
    ///
    /// # Errors
    /// [`PathError::TooLong`] or [`PathError::TooDeep`].
    pub fn join(&self, other: &Self) -> Result<Self, PathError> {
        if self.depth() + other.depth() > PATH_DEPTH_MAX {
            return Err(PathError::TooDeep);
        }
        let mut path = self.clone();
        if !other.is_root() {
            path.append(&other.0);
        }
        if path.0.len() > PATH_BYTES_MAX { Err(PathError::TooLong) } else { Ok(path) }
    }

    fn append(&mut self, bytes: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(bytes);
    }

    /// The components joined by `/`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
    }

    /// How many components there are.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Whether it is the root itself.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its last component; none of the root itself.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// The folder that it is in; none of the root itself.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let name = self.name()?;
        let end = self.0.len() - name.len();
        Some(Self(self.0.get(..end.saturating_sub(1))?.to_vec()))
    }

    /// Whether it is `folder` or beneath it.
    #[must_use]
    pub fn starts_with(&self, folder: &Self) -> bool {
        match self.0.strip_prefix(folder.0.as_slice()) {
            Some(rest) => folder.is_root() || rest.is_empty() || rest.starts_with(b"/"),
            None => false,
        }
    }
}

fn check_component(component: &[u8]) -> Result<(), PathError> {
    match component {
        [] => Err(PathError::Empty),
        b"." | b".." => Err(PathError::Dots),
        name if name.contains(&0) || name.contains(&b'/') => Err(PathError::Character),
        name if name.len() > PATH_COMPONENT_BYTES_MAX => Err(PathError::ComponentTooLong),
        _ => Ok(()),
    }
}

impl Ord for RelativePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // No name holds NUL, so with NUL for the separator bytes compare as components do.
        let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(rank).cmp(other.0.iter().map(rank))
    }
}

impl PartialOrd for RelativePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        let escape = |bytes: &[u8], f: &mut fmt::Formatter<'_>| {
            bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        };
        if self.is_root() {
            return f.write_char('.');
        }
        for piece in self.0.utf8_chunks() {
            for character in piece.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    hidden if is_hidden(hidden) => {
                        escape(hidden.encode_utf8(&mut [0; 4]).as_bytes(), f)?;
                    }
                    shown => f.write_char(shown)?,
                }
            }
            escape(piece.invalid(), f)?;
        }
        Ok(())
    }
}

/// What moves the cursor, or makes one name look like another: controls, marks of direction, joiners, blanks
/// that are none.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

impl fmt::Debug for RelativePath {
    /// Shows the length alone: names are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RelativePath").field(&ByteCount(self.0.len())).finish()
    }
}

impl Serialize for RelativePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelativePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: &[u8] = serde_bytes::deserialize(deserializer)?;
        Self::parse(bytes).map_err(D::Error::custom)
    }
}
