//! The configuration: from `config.yaml` to what the bridge runs on.
//!
//! [`load`] reads YAML and JSON through one [`document`] and makes a [`Config`] of it, or a list of every
//! [`Problem`]. [`diff`] says what changes between two of them, [`redact`] shows them without their secrets.

pub mod address;
mod defaults;
pub mod destinations;
pub mod diff;
pub mod document;
mod emit;
pub mod environment;
pub mod forms;
pub mod history;
pub mod load;
pub mod model;
pub mod name;
pub mod object;
pub mod patch;
pub mod path;
pub mod problem;
pub mod quantity;
pub mod redact;
pub mod rewrite;
mod scalar;
pub mod schema;
pub mod secret;
mod strict;
pub mod tree;
mod validate;

pub use diff::ConfigDiff;
pub use load::{Loaded, Problems, Source, load_file, load_text, load_tree};
pub use model::Config;
pub use name::Name;
pub use path::Path;
pub use problem::{Problem, Severity};
pub use schema::schema;
pub use secret::{Secret, SecretBytes, SecretError};
