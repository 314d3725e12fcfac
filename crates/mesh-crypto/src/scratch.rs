//! A buffer for plaintext that is used again and keeps nothing.

/// A buffer that grew beyond this for a large message is given back, so that one message does not
/// decide how much memory an idle agent holds.
const KEPT_BYTES_MAX: usize = 128 << 10;

/// Only zeros, except while it is lent: what was opened does not linger, and the next user needs no
/// fresh memory, which costs more than the decryption when the allocator has to ask the kernel for it.
pub(crate) struct Scratch {
    zeros: Vec<u8>,
}

impl Scratch {
    pub(crate) const fn new() -> Self {
        Self { zeros: Vec::new() }
    }

    /// Lends `len` zero bytes.
    pub(crate) fn lend<T>(&mut self, len: usize, user: impl FnOnce(&mut [u8]) -> T) -> T {
        if len > KEPT_BYTES_MAX {
            return user(&mut vec![0; len]);
        }
        if self.zeros.len() < len {
            self.zeros = vec![0; len];
        }
        let (lent, _) = self.zeros.split_at_mut(len);
        let outcome = user(lent);
        lent.fill(0);
        outcome
    }
}

#[cfg(test)]
mod tests;
