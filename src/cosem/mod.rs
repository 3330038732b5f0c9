//! L1: the COSEM object model: interface classes, scaling, units, profile buffers, names of objects. No I/O.

pub mod capture_object;
pub mod catalogue;
pub mod decimal;
pub mod obis_name;
pub mod object_list;
pub mod profile;
pub mod scaler_unit;
pub mod unit;
