//! The roots that are open.
