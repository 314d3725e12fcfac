//! PREPARE: everything is read, hashed, cut and scanned.
