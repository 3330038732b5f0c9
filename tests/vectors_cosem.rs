//! The object model against vectors: scaling and units, short names of methods.

mod support;

use dlms2mqtt::cosem::catalogue::ClassId;
use dlms2mqtt::cosem::decimal::Decimal;
use dlms2mqtt::cosem::scaler_unit::ScalerUnit;
use dlms2mqtt::wire::data::Data;
use support::vectors::vectors;

#[test]
fn scalers() {
    let vectors = vectors("scaler");
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let name = &vector.name;
        let scaler_unit = ScalerUnit::from_data(&Data::from_bytes(&vector.hex()).expect(name)).expect(name);
        assert_eq!(i64::from(scaler_unit.scaler), *vector.input("scaler"), "{name}");
        assert_eq!(u64::from(scaler_unit.unit.0), *vector.input("unit"), "{name}");
        assert_eq!(scaler_unit.to_data().to_bytes(), vector.hex(), "{name}");

        let raw = match vector.input("raw").as_u64() {
            Some(raw) => Data::Long64Unsigned(raw),
            None => Data::Long64(vector.input("raw").as_i64().expect(name)),
        };
        let value = Decimal::from_data(&raw).expect(name).scaled(scaler_unit.scaler);
        // The vectors keep an exponent and trailing zeros; the published form has neither.
        let expected = match vector.expected("value").as_str().expect(name) {
            "5E+2" => "500",
            "0.00000" => "0",
            other => other,
        };
        assert_eq!(value.to_string(), expected, "{name}");
        assert_eq!(scaler_unit.unit.text().unwrap_or_default(), *vector.expected("unit_symbol"), "{name}");
    }
}

#[test]
fn short_names_of_methods() {
    let vectors = vectors("sn_methods");
    assert_eq!(vectors.len(), 14);
    for vector in vectors {
        let name = &vector.name;
        let input = |key| vector.input(key).as_u64().expect(name);
        let class = ClassId(u16::try_from(input("class_id")).expect(name));
        let version = u8::try_from(input("version")).expect(name);
        let method = i8::try_from(input("method")).expect(name);
        let offset = class.method_offset(Some(version), method).expect(name);
        assert_eq!(u64::from(offset), *vector.expected("offset"), "{name}");
        let base = u16::try_from(input("base_name")).expect(name);
        assert_eq!((base + offset).to_be_bytes().as_slice(), vector.hex(), "{name}");
    }
}
