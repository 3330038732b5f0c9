//! The command line of dlms2mqtt.

fn main() {}
