//! The first four bytes of an id: enough to tell apart what is on one LAN, too little to be tracked by
//! across meshes or to be taken for a proof.

use std::fmt;
use std::str::FromStr;

use mesh_protocol::{MeshId, ParseError, PeerId};

/// Defines a prefix of an id, written as eight hexadecimal digits.
macro_rules! prefix {
    ($(#[$doc:meta])* $name:ident, $id:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 4]);

        impl $name {
            /// The prefix of `id`.
            #[must_use]
            pub fn of(id: &$id) -> Self {
                let [a, b, c, d, ..] = *id.as_bytes();
                Self([a, b, c, d])
            }

            /// Whether `id` starts with these bytes. Others may as well.
            #[must_use]
            pub fn matches(self, id: &$id) -> bool {
                Self::of(id) == self
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:08x}", u32::from_be_bytes(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                if text.len() != 8 {
                    return Err(ParseError::Length { what: $what, bytes: text.len() });
                }
                // `from_str_radix` would take a sign as well.
                if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(ParseError::Characters { what: $what });
                }
                u32::from_str_radix(text, 16)
                    .map(|value| Self(value.to_be_bytes()))
                    .map_err(|_| ParseError::Characters { what: $what })
            }
        }
    };
}

prefix!(
    /// Says which peer an announcement claims to come from.
    PeerPrefix, PeerId, "peer id prefix"
);
prefix!(
    /// Says which mesh an announcement claims to belong to.
    MeshPrefix, MeshId, "mesh id prefix"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_short_form_of_its_id() {
        let id = PeerId::from_bytes([0xa7; 32]);
        assert_eq!(PeerPrefix::of(&id).to_string(), id.short());
        assert_eq!(id.short().parse::<PeerPrefix>().unwrap(), PeerPrefix::of(&id));
        assert!(PeerPrefix::of(&id).matches(&id));
        assert!(!PeerPrefix::of(&id).matches(&PeerId::from_bytes([0xa8; 32])));
    }

    #[test]
    fn leading_zeros_are_kept() {
        let id = MeshId::from_bytes([0; 32]);
        assert_eq!(MeshPrefix::of(&id).to_string(), "00000000");
    }

    #[test]
    fn anything_but_eight_digits_is_refused() {
        for text in ["", "a7a7a7a", "a7a7a7a7a", "+7a7a7a7", "a7a7 7a7", "ä7a7a7a", "g7a7a7a7"] {
            assert!(text.parse::<PeerPrefix>().is_err(), "{text}");
        }
    }
}
