//! Tests of the replicated tables on real files.

mod no_rules;
mod query;
