//! Compact data (class 62): a buffer without tags, decoded by its template and named by its capture objects.

use std::collections::BTreeMap;

use super::meter_time::TimeRules;
use super::profile_rows::{ColumnSource, Columns};
use super::value::{Confidence, Identity, Reading};
use crate::cosem::capture_object::CaptureObject;
use crate::error::{Code, Layer, Report};
use crate::wire::compact_array::decode_compact_buffer;
use crate::wire::data::Data;
use crate::wire::obis::Obis;

/// Decodes compact_buffer by template_description into its elements.
///
/// # Errors
/// `DECODE` where one of them is no octet-string, or where the buffer does not fit the template.
pub fn elements(buffer: &Data, template: &Data) -> Result<Vec<Data>, Report> {
    let (Data::OctetString(buffer), Data::OctetString(template)) = (buffer, template) else {
        return Err(failure("compact_buffer and template_description must be octet-strings".to_owned()));
    };
    match decode_compact_buffer(template, buffer) {
        Ok(Data::Structure(elements)) => Ok(elements),
        Ok(element) => Ok(vec![element]),
        Err(error) => Err(failure(format!("the compact buffer does not fit its template: {error}"))),
    }
}

/// Reads the capture objects of a buffer.
///
/// # Errors
/// `DECODE` where one of them is none.
pub fn capture_objects(data: &Data) -> Result<Vec<CaptureObject>, Report> {
    CaptureObject::list_from_data(data)
        .ok_or_else(|| failure("capture_objects holds something else than capture objects".to_owned()))
}

/// The published value: an array with an element for each capture object, and what each is.
#[must_use]
pub fn compact_reading(
    identity: Identity,
    elements: &[Data],
    columns: &[ColumnSource],
    names: &BTreeMap<Obis, String>,
    times: &TimeRules,
    confidence: Confidence,
) -> Reading {
    let mut columns = Columns::new(columns, names);
    let values = columns.row(elements, times);
    Reading::elements(identity, columns.into_published(), values, confidence)
}

fn failure(message: String) -> Report {
    Report::new(Code::Decode, Layer::Decode, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosem::catalogue::ClassId;
    use crate::cosem::scaler_unit::ScalerUnit;
    use crate::cosem::unit::Unit;

    #[test]
    fn a_buffer() {
        let buffer = Data::OctetString(vec![7, 0x07, 0x5B, 0xCD, 0x15, 0x08, 0xFD]);
        let template = Data::OctetString(vec![0x02, 3, 0x11, 0x06, 0x12]);
        let decoded = elements(&buffer, &template).expect("fits");
        let column = |class, obis, attribute, scaler_unit| ColumnSource {
            object: CaptureObject::new(ClassId(class), Obis(obis), attribute),
            scaler_unit: Ok(scaler_unit),
        };
        let columns = [
            column(62, [0, 0, 66, 0, 0, 255], 4, None),
            column(3, [1, 0, 1, 8, 0, 255], 2, Some(ScalerUnit { scaler: -3, unit: Unit(30) })),
            column(3, [1, 0, 32, 7, 0, 255], 2, Some(ScalerUnit { scaler: -1, unit: Unit(35) })),
        ];
        let identity = Identity {
            name: Some("all".into()),
            obis: Some(Obis([0, 0, 66, 0, 0, 255])),
            short_name: None,
            class: ClassId::COMPACT_DATA,
        };
        let reading = compact_reading(
            identity,
            &decoded,
            &columns,
            &BTreeMap::new(),
            &TimeRules::default(),
            Confidence::Full,
        );
        assert_eq!(
            serde_json::to_string(&reading).expect("writable"),
            concat!(
                r#"{"name":"all","obis":"0-0:66.0.0*255","class":62,"attribute":2,"value":[7,123456.789,230.1],"columns":["#,
                r#"{"name":"0-0:66.0.0*255/4","obis":"0-0:66.0.0*255","class":62,"attribute":4,"index":0,"type":"unsigned"},"#,
                r#"{"name":"1-0:1.8.0*255","obis":"1-0:1.8.0*255","class":3,"attribute":2,"index":0,"type":"double-long-unsigned","unit":"Wh","unit_code":30,"scaler":-3},"#,
                r#"{"name":"1-0:32.7.0*255","obis":"1-0:32.7.0*255","class":3,"attribute":2,"index":0,"type":"long-unsigned","unit":"V","unit_code":35,"scaler":-1}],"#,
                r#""quality":"good"}"#,
            )
        );
    }

    #[test]
    fn what_does_not_fit() {
        let octets = |octets: &[u8]| Data::OctetString(octets.to_vec());
        for (buffer, template) in [
            (octets(&[7]), octets(&[0x02, 2, 0x11, 0x06])),
            (octets(&[7, 8]), octets(&[0x11])),
            (octets(&[7]), octets(&[0x50])),
            (Data::Null, octets(&[0x11])),
        ] {
            let error = elements(&buffer, &template).expect_err("does not fit");
            assert_eq!((error.code, error.layer), (Code::Decode, Layer::Decode));
        }
        assert_eq!(elements(&octets(&[7]), &octets(&[0x11])), Ok(vec![Data::Unsigned(7)]));
        assert!(capture_objects(&Data::Array(vec![Data::Null])).is_err());
    }
}
