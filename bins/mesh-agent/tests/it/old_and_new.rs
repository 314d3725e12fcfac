//! Old programs and this one: what an agent of an earlier build said is played to this one, and what it left on
//! disk is opened by it. Start reading at `transcript.rs`; decision 0022 says why it is done so.

mod databases;
mod listener;
mod newer;
mod recording;
mod replay;
mod tap;
mod transcript;
