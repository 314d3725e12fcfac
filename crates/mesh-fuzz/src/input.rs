//! A fuzzer's bytes, read as a list of choices. What is missing at the end counts as zero.

/// The bytes that are left.
pub(crate) struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`, which fits into a byte.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A small number, or now and then one of any size.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            small => u64::from(small % 16),
        }
    }

    /// At most `bytes_max` of what is left, as many as a short says.
    pub(crate) fn piece(&mut self, bytes_max: usize) -> &'b [u8] {
        let bytes = usize::from(self.short()) % (bytes_max + 1);
        let (piece, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        piece
    }

    pub(crate) const fn rest(self) -> &'b [u8] {
        self.0
    }
}

/// Hands all bytes but the first to the reader that the first one names.
pub(crate) fn choose(bytes: &[u8], readers: &[fn(&[u8])]) {
    let mut input = Input::new(bytes);
    let chosen = input.below(readers.len());
    readers[chosen](input.rest());
}
