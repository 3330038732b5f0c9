//! L4: the client of meters.

pub mod counter_store;

pub use counter_store::FileCounterStore;
