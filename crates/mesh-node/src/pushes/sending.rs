//! The task of a push that this node makes.
