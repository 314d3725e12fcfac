//! The replicated tables on real agents: what they promise, seen from outside. Start reading at `desk.rs`.

mod apart;
mod backups;
mod clocks;
mod columns;
mod conflicts;
mod crashes;
mod desk;
mod liars;
mod newcomers;
mod programs;
mod refusals;
mod repairs;
mod torture;
