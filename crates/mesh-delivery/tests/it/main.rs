//! The engines as their driver sees them: a sender with a database, links that lose things, and
//! receivers; nodes that tell each other their links.

#[cfg(test)]
mod gossip;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod world;

#[cfg(test)]
mod convergence;
#[cfg(test)]
mod exactly_once;
