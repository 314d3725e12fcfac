//! The state of the tables in pieces: for members whose changes are in no log any more, and for repairs.
//!
//! The sender reads from views that end soon (`view.rs`, `piece.rs`, `page.rs`), so that nobody who is slow
//! keeps its WAL from being emptied. The taker joins what comes with what is there (`take.rs`, `join.rs`)
//! and remembers which rows came from which view (`covered.rs`), because their views had applied more than
//! what it has as a whole.
//!
//! A local write to a row that the snapshot has brought already, made before the last piece is in, does not
//! say that it has seen what it overwrites: other members list that as the loser of a conflict.

mod complete;
pub(crate) mod covered;
mod join;
mod losers;
mod page;
mod piece;
mod place;
mod preamble;
mod repair;
mod take;
mod view;

pub use self::take::Taken;
pub use self::view::View;
