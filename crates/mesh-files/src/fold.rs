use unicode_normalization::UnicodeNormalization as _;

/// Names that a file system may take for one fold to the same bytes: those that differ in case, or in how
/// Unicode spells the same characters. It folds a little more than any one file system does.
pub(crate) fn fold(name: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(name.len());
    for piece in name.utf8_chunks() {
        // By way of upper case, which brings together what lower case keeps apart, such as the two small sigmas.
        let upper: String = piece.valid().nfd().flat_map(char::to_uppercase).collect();
        let lower: String = upper.nfd().flat_map(char::to_lowercase).nfd().collect();
        folded.extend_from_slice(lower.as_bytes());
        folded.extend_from_slice(piece.invalid());
    }
    folded
}
