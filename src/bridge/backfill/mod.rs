//! Back-fill of profiles: what was published of each, what was missed, and what of that is read next.

pub(super) mod keeper;
pub mod store;
pub mod track;

pub use store::TrackStore;
pub use track::{Seen, Track};
