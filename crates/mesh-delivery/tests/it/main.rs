//! The engine as its driver sees it: a sender with a database, links that lose things, and receivers.

#[cfg(test)]
mod receiver;
#[cfg(test)]
mod world;

#[cfg(test)]
mod exactly_once;
