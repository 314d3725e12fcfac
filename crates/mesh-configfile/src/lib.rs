//! One file that people and programs edit, watched and rewritten.
