//! xDLMS application services (IEC 62056-5-3): what the APDUs share. One file for each service.
//!
//! Every decoder takes a whole APDU, its tag included, and takes all of it. Every encoder appends to the caller's
//! buffer; those named `put_…` take borrowed parts and allocate nothing else.

pub mod access;
pub mod action;
pub mod ciphered;
pub mod conformance;
pub mod fault;
pub mod gbt;
pub mod get;
pub mod initiate;
pub mod notify;
pub mod set;
pub mod sn;
pub mod tag;

mod block;
mod invoke;
mod result;

pub use block::DataBlock;
pub use invoke::{InvokeIdAndPriority, LongInvokeIdAndPriority};
pub use result::DataAccessResult;

use super::cursor::{Reader, put_length};
use super::data::Data;
use super::date_time::DateTime;
use super::error::{WireError, WireErrorKind};
use super::obis::Obis;

/// An attribute of a COSEM object (cosem-attribute-descriptor).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttributeDescriptor {
    /// Interface class.
    pub class_id: u16,
    /// Logical name.
    pub instance_id: Obis,
    /// Attribute, 1 being the logical name; 0 stands for all, negative ones are the manufacturer's.
    pub attribute_id: i8,
}

/// A method of a COSEM object (cosem-method-descriptor).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodDescriptor {
    /// Interface class.
    pub class_id: u16,
    /// Logical name.
    pub instance_id: Obis,
    /// Method; negative ones are the manufacturer's.
    pub method_id: i8,
}

/// Selects a part of an attribute (selective-access-descriptor).
#[derive(Clone, Debug, PartialEq)]
pub struct SelectiveAccess {
    /// How to select; defined by the class.
    pub selector: u8,
    /// What to select.
    pub parameters: Data,
}

/// An attribute, or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeRequest {
    /// The attribute.
    pub attribute: AttributeDescriptor,
    /// The part, where not all is asked for.
    pub selection: Option<SelectiveAccess>,
}

/// A value, or why there is none (Get-Data-Result).
pub type GetDataResult = Result<Data, DataAccessResult>;

impl AttributeDescriptor {
    /// Appends nine bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_descriptor(out, self.class_id, self.instance_id, self.attribute_id);
    }

    /// Reads nine bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { class_id: reader.u16()?, instance_id: Obis(reader.array()?), attribute_id: reader.i8()? })
    }
}

impl MethodDescriptor {
    /// Appends nine bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_descriptor(out, self.class_id, self.instance_id, self.method_id);
    }

    /// Reads nine bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { class_id: reader.u16()?, instance_id: Obis(reader.array()?), method_id: reader.i8()? })
    }
}

impl AttributeRequest {
    /// All of the attribute.
    #[must_use]
    pub const fn whole(attribute: AttributeDescriptor) -> Self {
        Self { attribute, selection: None }
    }

    /// Appends descriptor and selection.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_attribute(out, &self.attribute, self.selection.as_ref());
    }

    /// Reads descriptor and selection.
    ///
    /// # Errors
    /// As [`Data::decode`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let attribute = AttributeDescriptor::decode(reader)?;
        let selection = if reader.is_present()? {
            Some(SelectiveAccess { selector: reader.u8()?, parameters: Data::decode(reader)? })
        } else {
            None
        };
        Ok(Self { attribute, selection })
    }
}

fn put_descriptor(out: &mut Vec<u8>, class_id: u16, instance_id: Obis, member: i8) {
    out.extend_from_slice(&class_id.to_be_bytes());
    out.extend_from_slice(&instance_id.0);
    out.extend_from_slice(&member.to_be_bytes());
}

fn put_attribute(out: &mut Vec<u8>, attribute: &AttributeDescriptor, selection: Option<&SelectiveAccess>) {
    attribute.encode(out);
    match selection {
        None => out.push(0),
        Some(selection) => {
            out.extend_from_slice(&[1, selection.selector]);
            selection.parameters.encode(out);
        }
    }
}

fn put_data_result(out: &mut Vec<u8>, result: &GetDataResult) {
    match result {
        Ok(data) => {
            out.push(0);
            data.encode(out);
        }
        Err(refusal) => out.extend_from_slice(&[1, refusal.code()]),
    }
}

fn data_result(reader: &mut Reader<'_>) -> Result<GetDataResult, WireError> {
    choice(reader, Data::decode)
}

/// Reads `00` and what `read` reads, or `01` and a data-access-result.
fn choice<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<Result<T, DataAccessResult>, WireError> {
    match reader.u8()? {
        0 => read(reader).map(Ok),
        1 => access_result(reader).map(Err),
        tag => Err(unknown_choice(reader, tag)),
    }
}

fn put_access_result(out: &mut Vec<u8>, result: &DataAccessResult) {
    out.push(result.code());
}

fn access_result(reader: &mut Reader<'_>) -> Result<DataAccessResult, WireError> {
    reader.u8().map(DataAccessResult::from_code)
}

/// Appends what every service with a long invoke-id begins with.
fn put_long_date_time(out: &mut Vec<u8>, invoke: LongInvokeIdAndPriority, date_time: Option<&DateTime>) {
    out.extend_from_slice(&invoke.0.to_be_bytes());
    notify::put_date_time(out, date_time);
}

fn long_date_time(reader: &mut Reader<'_>) -> Result<(LongInvokeIdAndPriority, Option<DateTime>), WireError> {
    let invoke = LongInvokeIdAndPriority(reader.u32()?);
    Ok((invoke, notify::date_time(reader)?))
}

/// The error for a choice tag that was just read.
fn unknown_choice(reader: &Reader<'_>, tag: u8) -> WireError {
    WireErrorKind::UnknownTag(tag).at(reader.position().saturating_sub(1))
}

/// A reader behind the APDU's tag.
fn expect_tag(apdu: &[u8], tag: u8) -> Result<Reader<'_>, WireError> {
    let mut reader = Reader::new(apdu);
    let found = reader.u8()?;
    if found == tag { Ok(reader) } else { Err(WireErrorKind::UnknownTag(found).at(0)) }
}

/// A reader behind the tag, the choice and the invoke-id of an LN service.
fn expect_service(apdu: &[u8], tag: u8) -> Result<(Reader<'_>, u8, InvokeIdAndPriority), WireError> {
    let mut reader = expect_tag(apdu, tag)?;
    let kind = reader.u8()?;
    let invoke = InvokeIdAndPriority(reader.u8()?);
    Ok((reader, kind, invoke))
}

/// The error for an LN service's choice; it stands behind the tag.
const fn unknown_kind(kind: u8) -> WireError {
    WireErrorKind::UnknownTag(kind).at(1)
}

/// Reads a count and as many items.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let start = reader.position();
    let count = reader.length()?;
    // Each item takes a byte at least: a larger count is a lie, and no memory is reserved for it.
    if count > reader.remaining() {
        return Err(WireErrorKind::Length.at(start));
    }
    let mut items = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        items.push(read(reader)?);
    }
    Ok(items)
}

/// Appends a count and as many items.
fn put_list<T>(
    out: &mut Vec<u8>,
    items: impl ExactSizeIterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    put_length(out, items.len());
    for item in items {
        put(out, item);
    }
}
