//! The pages of a manifest, in one file.
