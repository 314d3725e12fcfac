//! Tests of the replicated tables on real files.

mod backup;
mod digest;
mod feed;
mod member;
mod no_rules;
mod query;
