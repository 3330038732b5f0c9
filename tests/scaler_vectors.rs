//! Scaling and unit symbols against vectors made elsewhere.

use dlms2mqtt::cosem::decimal::Decimal;
use dlms2mqtt::cosem::scaler_unit::ScalerUnit;
use dlms2mqtt::wire::data::Data;

#[test]
fn scaler_vectors() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("vectors/scaler.json")).expect("a vector file is JSON");
    let vectors = file["vectors"].as_array().expect("a list");
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let name = vector["name"].as_str().expect("a name");
        let bytes = bytes(vector["hex"].as_str().expect("hex"));
        let data = Data::from_bytes(&bytes).expect(name);
        let scaler_unit = ScalerUnit::from_data(&data).expect(name);
        assert_eq!(i64::from(scaler_unit.scaler), vector["inputs"]["scaler"], "{name}");
        assert_eq!(u64::from(scaler_unit.unit.0), vector["inputs"]["unit"], "{name}");
        assert_eq!(scaler_unit.to_data().to_bytes(), bytes, "{name}");

        let raw = match vector["inputs"]["raw"].as_u64() {
            Some(raw) => Data::Long64Unsigned(raw),
            None => Data::Long64(vector["inputs"]["raw"].as_i64().expect(name)),
        };
        let value = Decimal::from_data(&raw).expect(name).scaled(scaler_unit.scaler);
        // The vectors keep an exponent and trailing zeros; the published form has neither.
        let expected = match vector["expected"]["value"].as_str().expect(name) {
            "5E+2" => "500",
            "0.00000" => "0",
            other => other,
        };
        assert_eq!(value.to_string(), expected, "{name}");
        assert_eq!(scaler_unit.unit.text().unwrap_or_default(), vector["expected"]["unit_symbol"], "{name}");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}
