//! The engines as their driver sees them: a sender with a database, links that lose things, and
//! receivers; nodes that tell each other their links; members that keep messages for others.

#[cfg(test)]
mod gossip;
#[cfg(test)]
mod keepers;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod world;

#[cfg(test)]
mod convergence;
#[cfg(test)]
mod custody;
#[cfg(test)]
mod exactly_once;
