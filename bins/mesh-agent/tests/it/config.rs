//! The shared configuration on real agents: what it promises, seen from outside. Start reading at `desk.rs`.

mod agreement;
mod desk;
mod files;
mod load;
mod members;
mod parity;
mod sealed;
mod secrets;
mod standing;
mod told;
