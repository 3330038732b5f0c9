//! L1: the COSEM object model: interface classes, scaling, units, profile buffers, names of objects. No I/O.

pub mod catalogue;
pub mod decimal;
pub mod scaler_unit;
pub mod unit;
