//! Pushes between real agents: what they promise, seen from outside. Start reading at `desk.rs`.

mod desk;
mod story;
mod waiting;
