//! Pushes between real agents: what they promise, seen from outside. Start reading at `desk.rs`.

mod by_message;
mod damage;
mod desk;
mod floods;
mod hostile;
mod kills;
mod kinds;
mod member;
mod pulls;
mod room;
mod secrets;
mod story;
mod waiting;
