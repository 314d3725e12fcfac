//! The crate from outside: a fake LocalAPI on real sockets, fake commands, and agents on loopback.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod command;
#[cfg(feature = "lan")]
mod lan;
mod local_api;
mod port;
mod support;
