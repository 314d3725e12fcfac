//! Pushes as people see them.
