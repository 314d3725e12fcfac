mod parts;
pub(crate) mod world;
