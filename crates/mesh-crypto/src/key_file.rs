use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::digest::checksum;
use crate::{KeyFileError, NodeKey, StoreKey, encoding};

const COMMENT: &str = "# Keys of a mesh agent. Whoever reads this file is the agent: mode 0600, never a second copy.\n";
const VERSION_KEY: &str = "mesh-keys ";
const VERSION: &str = "1";
const NODE_KEY: &str = "node-key ";
const STORE_KEY: &str = "store-key ";
const CHECKSUM: &str = "checksum ";
const CHECKSUM_PURPOSE: &str = "agent-mesh v1 checksum of a key file";

/// Four times what a key file is; longer texts are not looked at.
const TEXT_BYTES_MAX: usize = 1024;

/// The keys that one agent keeps outside its database.
///
/// ```text
/// # a comment
/// mesh-keys 1
/// node-key  …   32 bytes, base64url without padding
/// store-key …   32 bytes, base64url without padding
/// checksum  …   8 bytes, base64url without padding, over all the lines before
/// ```
/// One space between words, one line feed behind each line, nothing else.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// Who the agent is.
    pub node_key: NodeKey,
    /// What the agent's database seals its secrets with.
    pub store_key: StoreKey,
}

impl KeyFile {
    /// Makes the keys of a new agent.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self { node_key: NodeKey::generate(rng), store_key: StoreKey::generate(rng) }
    }

    /// The text of the file.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        // Room for all of it: growing would leave a copy of the keys behind.
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX));
        for line in [COMMENT, VERSION_KEY, VERSION, "\n"] {
            text.push_str(line);
        }
        let keys =
            [(NODE_KEY, self.node_key.secret_bytes()), (STORE_KEY, self.store_key.secret_bytes())];
        for (name, secret) in keys {
            text.push_str(name);
            encoding::push(&mut text, secret.as_slice());
            text.push('\n');
        }
        let sum = checksum(CHECKSUM_PURPOSE, text.as_bytes());
        text.push_str(CHECKSUM);
        encoding::push(&mut text, &sum);
        text.push('\n');
        text
    }

    /// Reads the text of a key file. Only the words of the comment are free.
    ///
    /// # Errors
    /// [`KeyFileError`]: another version, cut short, edited, or no key file.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        const MALFORMED: KeyFileError = KeyFileError::Malformed;
        if text.len() > TEXT_BYTES_MAX {
            return Err(MALFORMED);
        }
        let (comment, rest) = text.split_once('\n').ok_or(MALFORMED)?;
        if !comment.starts_with("# ") {
            return Err(MALFORMED);
        }
        let (version, rest) = field(rest, VERSION_KEY)?;
        if version != VERSION {
            return Err(KeyFileError::Version);
        }
        let (node_key, rest) = field(rest, NODE_KEY)?;
        let (store_key, checksum_line) = field(rest, STORE_KEY)?;
        let (sum, behind) = field(checksum_line, CHECKSUM)?;
        let summed = text.strip_suffix(checksum_line).ok_or(MALFORMED)?;
        let sum = encoding::read_array::<8>(sum).ok_or(MALFORMED)?;
        if !bool::from(checksum(CHECKSUM_PURPOSE, summed.as_bytes()).ct_eq(sum.as_slice())) {
            return Err(KeyFileError::Checksum);
        }
        if !behind.is_empty() {
            return Err(MALFORMED);
        }
        Ok(Self {
            node_key: NodeKey::from_secret_bytes(&encoding::read_array(node_key).ok_or(MALFORMED)?),
            store_key: StoreKey::from_secret_bytes(
                encoding::read_array(store_key).ok_or(MALFORMED)?,
            ),
        })
    }
}

/// The value of the line that `text` starts with, and the lines behind it.
fn field<'a>(text: &'a str, name: &str) -> Result<(&'a str, &'a str), KeyFileError> {
    text.split_once('\n')
        .and_then(|(line, rest)| Some((line.strip_prefix(name)?, rest)))
        .ok_or(KeyFileError::Malformed)
}
