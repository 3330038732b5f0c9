//! COSEM values with the offset of every element.

use super::node::{Name, Node, hex};
use super::walker::{Step, Stop, Walker};
use crate::cosem::catalogue::shape::Shape;
use crate::cosem::obis_name::obis_name;
use crate::cosem::scaler_unit::ScalerUnit;
use crate::cosem::unit::Unit;
use crate::wire::compact_array::TypeDescription;
use crate::wire::cursor::Reader;
use crate::wire::data::{Data, MAX_DEPTH};
use crate::wire::data_type::DataType;
use crate::wire::date_time::{Date, DateTime, Time};
use crate::wire::error::WireErrorKind;
use crate::wire::obis::Obis;

/// Reads one value.
pub(super) fn data(walker: &mut Walker<'_>, name: impl Into<Name>, shape: Shape) -> Step {
    value(walker, name.into(), shape, 0)
}

/// A count and as many values.
pub(super) fn list(walker: &mut Walker<'_>, name: &'static str, shapes: &[Shape]) -> Step {
    walker.group(name, |walker| {
        let count = count(walker)?;
        for index in 0..count {
            let shape = shapes.get(index).copied().unwrap_or(Shape::Any);
            data(walker, numbered("value", index), shape)?;
        }
        Ok(())
    })
}

/// A count of items that take a byte each at least.
pub(super) fn count(walker: &mut Walker<'_>) -> Step<usize> {
    walker.field("count", Reader::count, |node: Node, &count: &usize| node.with_value(count))
}

/// `name 1` for the first.
pub(super) fn numbered(name: &str, index: usize) -> Name {
    format!("{name} {}", index.saturating_add(1)).into()
}

fn value(walker: &mut Walker<'_>, name: Name, shape: Shape, depth: usize) -> Step {
    if depth > MAX_DEPTH {
        return walker.read(|reader| Err(reader.error(WireErrorKind::TooDeep)));
    }
    match walker.peek().and_then(DataType::from_tag) {
        Some(container @ (DataType::Array | DataType::Structure)) => {
            elements(walker, name, container, shape, depth)
        }
        Some(DataType::CompactArray) => compact_array(walker, name, shape, depth),
        _ => walker.field(name, Data::decode, |node: Node, data: &Data| show(node, data, shape)).map(drop),
    }
}

fn elements(walker: &mut Walker<'_>, name: Name, container: DataType, shape: Shape, depth: usize) -> Step {
    let scaler_unit = scaler_unit(walker.rest());
    let mut found = None;
    let result = walker.group(name, |walker| {
        let count = walker.read(|reader| {
            reader.u8()?;
            reader.count()
        })?;
        found = Some(count);
        for index in 0..count {
            let (name, shape) = element(shape, container, index, count);
            value(walker, name, shape, depth.saturating_add(1))?;
        }
        Ok(())
    });
    walker.amend(|node| {
        node.data_type = Some(container.name());
        node.text = match scaler_unit {
            Some(scaler_unit) if result.is_ok() => Some(scaler_unit_text(scaler_unit)),
            _ => found.map(|count| format!("{count} elements")),
        };
    });
    result
}

/// Name and shape of one element.
fn element(shape: Shape, container: DataType, index: usize, count: usize) -> (Name, Shape) {
    match (shape, container) {
        (Shape::Structure(fields) | Shape::ObjectIdentifier(fields), DataType::Structure)
            if fields.len() == count =>
        {
            match fields.get(index) {
                Some(&(name, shape)) => (name.into(), shape),
                None => (numbered("element", index), Shape::Any),
            }
        }
        (Shape::Array(element), DataType::Array | DataType::CompactArray) => {
            (numbered("element", index), *element)
        }
        _ => (numbered("element", index), Shape::Any),
    }
}

/// A structure of an integer and an enum, as in every scaler_unit and hardly anywhere else.
fn scaler_unit(bytes: &[u8]) -> Option<ScalerUnit> {
    let bytes = bytes.first_chunk::<6>()?;
    match bytes {
        [0x02, 0x02, 0x0F, _, 0x16, _] => ScalerUnit::from_data(&Data::from_bytes(bytes).ok()?),
        _ => None,
    }
}

fn scaler_unit_text(ScalerUnit { scaler, unit }: ScalerUnit) -> String {
    format!("scaler_unit: 10^{scaler} {}", unit_text(unit))
}

fn unit_text(unit: Unit) -> String {
    unit.text().unwrap_or_else(|| "(no unit)".to_owned())
}

fn compact_array(walker: &mut Walker<'_>, name: Name, shape: Shape, depth: usize) -> Step {
    // Decoded whole first: that proves that the walk below ends, within what the bytes justify.
    let mut whole = Reader::new(walker.rest());
    let array = match Data::decode(&mut whole) {
        Ok(Data::CompactArray(array)) => array,
        Ok(_) => return Err(Stop::Recorded),
        Err(error) => {
            return walker.read(|reader| Err(error.kind.at(reader.position().saturating_add(error.offset))));
        }
    };
    let result = walker.group(name, |walker| {
        walker.read(Reader::u8)?;
        walker.field(
            "contents-description",
            |reader| TypeDescription::decode(reader, depth.saturating_add(1)),
            |node: Node, description: &TypeDescription| node.with_text(describe(description)),
        )?;
        let length = walker.length("array-contents length")?;
        walker.bounded("array-contents", length, |walker| {
            let mut index = 0usize;
            while !walker.is_empty() {
                let (name, shape) = element(shape, DataType::CompactArray, index, 0);
                untagged(walker, name, array.description(), shape)?;
                index = index.saturating_add(1);
            }
            Ok(())
        })
    });
    walker.amend(|node| {
        node.data_type = Some(DataType::CompactArray.name());
        node.text = Some(format!("{} elements", array.elements().len()));
    });
    result
}

fn untagged(walker: &mut Walker<'_>, name: Name, description: &TypeDescription, shape: Shape) -> Step {
    let (container, parts): (_, Vec<&TypeDescription>) = match description {
        TypeDescription::Simple(simple) => {
            let read = |reader: &mut Reader<'_>| Data::decode_simple(simple.data_type(), reader);
            return walker.field(name, read, |node: Node, data: &Data| show(node, data, shape)).map(drop);
        }
        TypeDescription::Array { count, element } => {
            (DataType::Array, std::iter::repeat_n(&**element, usize::from(*count)).collect())
        }
        TypeDescription::Structure(elements) => (DataType::Structure, elements.iter().collect()),
    };
    let result = walker.group(name, |walker| {
        for (index, part) in parts.iter().enumerate() {
            let (name, shape) = element(shape, container, index, parts.len());
            untagged(walker, name, part, shape)?;
        }
        Ok(())
    });
    walker.amend(|node| node.data_type = Some(container.name()));
    result
}

fn describe(description: &TypeDescription) -> String {
    match description {
        TypeDescription::Simple(simple) => simple.data_type().name().to_owned(),
        TypeDescription::Array { count, element } => format!("array of {count} {}", describe(element)),
        TypeDescription::Structure(elements) => {
            let elements: Vec<_> = elements.iter().map(describe).collect();
            format!("structure {{ {} }}", elements.join(", "))
        }
    }
}

/// What a value without parts is and means.
fn show(node: Node, data: &Data, shape: Shape) -> Node {
    let mut node = node;
    node.data_type = Some(data.type_name());
    match data {
        Data::Null | Data::DontCare | Data::Array(_) | Data::Structure(_) | Data::CompactArray(_) => node,
        Data::Boolean(value) => node.with_value(*value),
        Data::BitString(bits) => node.with_value(bits.to_string()),
        Data::OctetString(octets) => octet_string(node, octets, shape),
        Data::VisibleString(octets) | Data::Utf8String(octets) => match std::str::from_utf8(octets) {
            Ok(text) => node.with_value(text),
            Err(_) => node.with_hex(octets),
        },
        Data::DoubleLong(value) | Data::DeltaDoubleLong(value) => number(node, i64::from(*value), shape),
        Data::DoubleLongUnsigned(value) | Data::DeltaDoubleLongUnsigned(value) => {
            number(node, i64::from(*value), shape)
        }
        Data::Bcd(value) | Data::Integer(value) | Data::DeltaInteger(value) => {
            number(node, i64::from(*value), shape)
        }
        Data::Long(value) | Data::DeltaLong(value) => number(node, i64::from(*value), shape),
        Data::Unsigned(value) | Data::Enum(value) | Data::DeltaUnsigned(value) => {
            number(node, i64::from(*value), shape)
        }
        Data::LongUnsigned(value) | Data::DeltaLongUnsigned(value) => number(node, i64::from(*value), shape),
        Data::Long64(value) => node.with_value(*value),
        Data::Long64Unsigned(value) => node.with_value(*value),
        // JSON has no NaN and no infinity.
        Data::Float32(value) => float(node, f64::from(*value), value.to_string()),
        Data::Float64(value) => float(node, *value, value.to_string()),
        Data::DateTime(value) => node.with_value(value.to_string()),
        Data::Date(value) => node.with_value(value.to_string()),
        Data::Time(value) => node.with_value(value.to_string()),
    }
}

fn float(node: Node, value: f64, text: String) -> Node {
    if value.is_finite() { node.with_value(value) } else { node.with_text(text) }
}

fn number(node: Node, value: i64, shape: Shape) -> Node {
    let code = u8::try_from(value).ok();
    let text = match (shape, code) {
        (Shape::Enum(names), Some(code)) => {
            names.iter().find(|(known, _)| *known == code).map(|(_, name)| (*name).to_owned())
        }
        (Shape::Unit, Some(code)) => Some(unit_text(Unit(code))),
        _ => None,
    };
    let node = node.with_value(value);
    match text {
        Some(text) => node.with_text(text),
        None => node,
    }
}

fn octet_string(node: Node, octets: &[u8], shape: Shape) -> Node {
    let node = node.with_hex(octets);
    match meaning(octets, shape) {
        Some(text) => node.with_text(text),
        None => node,
    }
}

fn meaning(octets: &[u8], shape: Shape) -> Option<String> {
    let name = || <[u8; 6]>::try_from(octets).ok().map(|groups| obis_text(Obis(groups)));
    match shape {
        Shape::LogicalName => name(),
        Shape::Date => Date::from_bytes(octets).ok().map(|date| date.to_string()),
        Shape::Time => Time::from_bytes(octets).ok().map(|time| time.to_string()),
        Shape::DateTime => DateTime::from_bytes(octets).ok().map(|time| time.to_string()),
        _ => {
            // Printable text wins over a date: meter numbers of twelve digits exist.
            printable(octets)
                .map(|text| format!("{text:?}"))
                .or_else(|| {
                    let time = DateTime::from_bytes(octets).ok().filter(DateTime::is_valid)?;
                    // Nothing but wildcards is more likely something else.
                    (time != DateTime::NOT_SPECIFIED).then(|| time.to_string())
                })
                .or_else(|| name().filter(|_| looks_like_obis(octets)))
        }
    }
}

fn looks_like_obis(octets: &[u8]) -> bool {
    match <[u8; 6]>::try_from(octets) {
        Ok([0..=15, .., 255]) => true,
        Ok(groups) => obis_name(Obis(groups)).is_some(),
        Err(_) => false,
    }
}

/// A code and what its object usually is.
pub(super) fn obis_text(obis: Obis) -> String {
    match obis_name(obis) {
        Some(name) => format!("{obis} {name}"),
        None => obis.to_string(),
    }
}

/// The text, where there is nothing but printable ASCII and at least one character.
pub(super) fn printable(octets: &[u8]) -> Option<&str> {
    let is_text = !octets.is_empty() && octets.iter().all(|octet| matches!(octet, 0x20..=0x7E));
    is_text.then(|| std::str::from_utf8(octets).ok()).flatten()
}

/// A system title and its manufacturer.
pub(super) fn title_text(title: &[u8]) -> String {
    match title.first_chunk::<3>() {
        Some(letters) if letters.iter().all(u8::is_ascii_alphabetic) => {
            format!("{} ({})", hex(title).to_uppercase(), String::from_utf8_lossy(letters))
        }
        _ => hex(title).to_uppercase(),
    }
}
