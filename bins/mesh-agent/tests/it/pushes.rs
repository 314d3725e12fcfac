//! Pushes between real agents: what they promise, seen from outside. Start reading at `desk.rs`.

mod by_message;
mod damage;
mod desk;
mod kills;
mod room;
mod story;
mod waiting;
