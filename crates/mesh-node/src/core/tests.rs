//! A virtual mesh of cores: their wishes are performed by [`member::Member`] on a virtual network, as the
//! drivers of this crate perform them on a real one.

mod chaos;
mod custody;
mod disk;
mod large;
mod line;
mod links;
mod member;
mod parcels;
mod records;
mod world;
