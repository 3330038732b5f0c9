//! From what meters answer to what subscribers read: the payloads of readings, rows and device status.

pub mod compact;
pub mod json;
pub mod meter_time;
pub mod object;
pub mod plan;
pub mod profile_rows;
pub mod render;
pub mod row_time;
pub mod scale;
pub mod schema;
pub mod snapshot;
pub mod status;
pub mod value;
