//! The services of short name referencing: Read, Write and UnconfirmedWrite.

use super::{
    DataAccessResult, access_result, expect_tag, list, put_access_result, put_list, tag, unknown_choice,
};
use crate::wire::cursor::{Reader, put_octets};
use crate::wire::data::Data;
use crate::wire::error::WireError;

mod access {
    pub(super) const NAME: u8 = 2;
    pub(super) const PARAMETERISED: u8 = 4;
    pub(super) const BLOCK_NUMBER: u8 = 5;
    pub(super) const READ_BLOCK: u8 = 6;
    pub(super) const WRITE_BLOCK: u8 = 7;
}

mod read_result {
    pub(super) const DATA: u8 = 0;
    pub(super) const ERROR: u8 = 1;
    pub(super) const BLOCK: u8 = 2;
    pub(super) const BLOCK_NUMBER: u8 = 3;
}

mod write_result {
    pub(super) const SUCCESS: u8 = 0;
    pub(super) const ERROR: u8 = 1;
    pub(super) const BLOCK_NUMBER: u8 = 2;
}

/// One block of a long Read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBlock<'a> {
    /// Whether it is the last.
    pub last: bool,
    /// Its number, from 1.
    pub number: u16,
    /// Its bytes, cut anywhere.
    pub raw: &'a [u8],
}

impl<'a> ReadBlock<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.last));
        out.extend_from_slice(&self.number.to_be_bytes());
        put_octets(out, self.raw);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { last: reader.u8()? != 0, number: reader.u16()?, raw: reader.octets()? })
    }
}

/// What to read or write (variable-access-specification).
#[derive(Clone, Debug, PartialEq)]
pub enum VariableAccess<'a> {
    /// An attribute or method by its short name.
    Name(u16),
    /// A part of an attribute, or a method with its parameter.
    Parameterised {
        /// Short name.
        name: u16,
        /// How to select; 0 for methods.
        selector: u8,
        /// What to select, or the parameter.
        parameter: Data,
    },
    /// The next block of a long response; the number of the block just received.
    BlockNumber(u16),
    /// A block of a long ReadRequest.
    ReadBlock(ReadBlock<'a>),
    /// Says that the one value of this WriteRequest is a block: an octet-string with a part of a long request.
    WriteBlock {
        /// Whether it is the last.
        last: bool,
        /// Its number, from 1.
        number: u16,
    },
}

impl<'a> VariableAccess<'a> {
    /// Appends the specification.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Name(name) => {
                out.push(access::NAME);
                out.extend_from_slice(&name.to_be_bytes());
            }
            Self::Parameterised { name, selector, parameter } => {
                out.push(access::PARAMETERISED);
                out.extend_from_slice(&name.to_be_bytes());
                out.push(*selector);
                parameter.encode(out);
            }
            Self::BlockNumber(number) => {
                out.push(access::BLOCK_NUMBER);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::ReadBlock(block) => {
                out.push(access::READ_BLOCK);
                block.encode(out);
            }
            Self::WriteBlock { last, number } => {
                out.extend_from_slice(&[access::WRITE_BLOCK, u8::from(*last)]);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    /// Reads a specification.
    ///
    /// # Errors
    /// `UnknownTag`, `Truncated`, `Length`, and as [`Data::decode`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            access::NAME => Self::Name(reader.u16()?),
            access::PARAMETERISED => Self::Parameterised {
                name: reader.u16()?,
                selector: reader.u8()?,
                parameter: Data::decode(reader)?,
            },
            access::BLOCK_NUMBER => Self::BlockNumber(reader.u16()?),
            access::READ_BLOCK => Self::ReadBlock(ReadBlock::decode(reader)?),
            access::WRITE_BLOCK => Self::WriteBlock { last: reader.u8()? != 0, number: reader.u16()? },
            tag => return Err(unknown_choice(reader, tag)),
        })
    }
}

/// readRequest.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadRequest<'a> {
    /// What to read.
    pub variables: Vec<VariableAccess<'a>>,
}

impl<'a> ReadRequest<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_read(out, self.variables.iter());
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, and as [`Data::decode`].
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::READ_REQUEST)?;
        let variables = list(&mut reader, VariableAccess::decode)?;
        reader.finish()?;
        Ok(Self { variables })
    }
}

/// Appends a ReadRequest.
pub fn put_read<'a, 'b: 'a>(
    out: &mut Vec<u8>,
    variables: impl ExactSizeIterator<Item = &'a VariableAccess<'b>>,
) {
    out.push(tag::READ_REQUEST);
    put_list(out, variables, |out, variable| variable.encode(out));
}

/// One element of a ReadResponse.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadResult<'a> {
    /// The value.
    Data(Data),
    /// Why there is none.
    Error(DataAccessResult),
    /// A block of a long response. All together are what [`decode_read_content`] reads.
    Block(ReadBlock<'a>),
    /// Asks for the next block of a long request; the number of the block just received.
    BlockNumber(u16),
}

impl<'a> ReadResult<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(data) => {
                out.push(read_result::DATA);
                data.encode(out);
            }
            Self::Error(result) => out.extend_from_slice(&[read_result::ERROR, result.code()]),
            Self::Block(block) => {
                out.push(read_result::BLOCK);
                block.encode(out);
            }
            Self::BlockNumber(number) => {
                out.push(read_result::BLOCK_NUMBER);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            read_result::DATA => Self::Data(Data::decode(reader)?),
            read_result::ERROR => Self::Error(access_result(reader)?),
            read_result::BLOCK => Self::Block(ReadBlock::decode(reader)?),
            read_result::BLOCK_NUMBER => Self::BlockNumber(reader.u16()?),
            tag => return Err(unknown_choice(reader, tag)),
        })
    }
}

/// readResponse.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadResponse<'a> {
    /// One element for each variable, in the order of the request; or a single block.
    pub results: Vec<ReadResult<'a>>,
}

impl<'a> ReadResponse<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::READ_RESPONSE);
        put_read_content(out, &self.results);
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, and as [`Data::decode`].
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::READ_RESPONSE)?;
        let results = list(&mut reader, ReadResult::decode)?;
        reader.finish()?;
        Ok(Self { results })
    }
}

/// How many results a ReadResponse says to hold, whether they can be read or not.
#[must_use]
pub fn result_count(apdu: &[u8]) -> Option<usize> {
    expect_tag(apdu, tag::READ_RESPONSE).ok()?.length().ok()
}

/// Reads what the blocks of a long response hold together: a ReadResponse without its tag.
///
/// # Errors
/// As [`ReadResponse::decode`].
pub fn decode_read_content(raw: &[u8]) -> Result<Vec<ReadResult<'_>>, WireError> {
    let mut reader = Reader::new(raw);
    let results = list(&mut reader, ReadResult::decode)?;
    reader.finish()?;
    Ok(results)
}

/// Appends the content that [`decode_read_content`] reads.
pub fn put_read_content(out: &mut Vec<u8>, results: &[ReadResult<'_>]) {
    put_list(out, results.iter(), |out, result| result.encode(out));
}

/// writeRequest, and the body of unconfirmedWriteRequest.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteRequest<'a> {
    /// Whether the server answers.
    pub confirmation: Confirmation,
    /// What to write.
    pub variables: Vec<VariableAccess<'a>>,
    /// The new values, in the same order.
    pub values: Vec<Data>,
}

/// Whether a Write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// WriteRequest: the server answers.
    Confirmed,
    /// UnconfirmedWriteRequest: it does not.
    Unconfirmed,
}

impl Confirmation {
    const fn tag(self) -> u8 {
        match self {
            Self::Confirmed => tag::WRITE_REQUEST,
            Self::Unconfirmed => tag::UNCONFIRMED_WRITE_REQUEST,
        }
    }
}

impl<'a> WriteRequest<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_write(out, self.confirmation, self.variables.iter(), self.values.iter());
    }

    /// Reads an APDU, with either tag.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, and as [`Data::decode`].
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let confirmation = match apdu.first() {
            Some(&tag::UNCONFIRMED_WRITE_REQUEST) => Confirmation::Unconfirmed,
            _ => Confirmation::Confirmed,
        };
        let mut reader = expect_tag(apdu, confirmation.tag())?;
        let variables = list(&mut reader, VariableAccess::decode)?;
        let values = list(&mut reader, Data::decode)?;
        reader.finish()?;
        Ok(Self { confirmation, variables, values })
    }
}

/// Appends a WriteRequest or an UnconfirmedWriteRequest.
pub fn put_write<'a, 'b: 'a>(
    out: &mut Vec<u8>,
    confirmation: Confirmation,
    variables: impl ExactSizeIterator<Item = &'a VariableAccess<'b>>,
    values: impl ExactSizeIterator<Item = &'a Data>,
) {
    out.push(confirmation.tag());
    put_list(out, variables, |out, variable| variable.encode(out));
    put_list(out, values, |out, value| value.encode(out));
}

/// One element of a WriteResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// The value was taken.
    Success,
    /// Why it was not.
    Error(DataAccessResult),
    /// Asks for the next block; the number of the block just received.
    BlockNumber(u16),
}

/// writeResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteResponse {
    /// One element for each variable, in the order of the request.
    pub results: Vec<WriteResult>,
}

impl WriteResponse {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::WRITE_RESPONSE);
        put_list(out, self.results.iter(), |out, result| match result {
            WriteResult::Success => out.push(write_result::SUCCESS),
            WriteResult::Error(result) => {
                out.push(write_result::ERROR);
                put_access_result(out, result);
            }
            WriteResult::BlockNumber(number) => {
                out.push(write_result::BLOCK_NUMBER);
                out.extend_from_slice(&number.to_be_bytes());
            }
        });
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`.
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::WRITE_RESPONSE)?;
        let results = list(&mut reader, |reader| {
            Ok(match reader.u8()? {
                write_result::SUCCESS => WriteResult::Success,
                write_result::ERROR => WriteResult::Error(access_result(reader)?),
                write_result::BLOCK_NUMBER => WriteResult::BlockNumber(reader.u16()?),
                tag => return Err(unknown_choice(reader, tag)),
            })
        })?;
        reader.finish()?;
        Ok(Self { results })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::WireErrorKind;

    #[test]
    fn reads_both_ways() {
        let variables = vec![
            VariableAccess::Name(0xFA08),
            VariableAccess::Parameterised { name: 0xFA58, selector: 0, parameter: Data::Unsigned(1) },
            VariableAccess::BlockNumber(2),
            VariableAccess::ReadBlock(ReadBlock { last: true, number: 3, raw: &[0xAA] }),
            VariableAccess::WriteBlock { last: false, number: 4 },
        ];
        let bytes = [5, 5, 2, 0xFA, 8, 4, 0xFA, 0x58, 0, 0x11, 1, 5, 0, 2, 6, 1, 0, 3, 1, 0xAA, 7, 0, 0, 4];
        let request = ReadRequest { variables };
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(ReadRequest::decode(&bytes), Ok(request));

        let results = vec![
            ReadResult::Data(Data::Null),
            ReadResult::Error(DataAccessResult::ObjectUndefined),
            ReadResult::Block(ReadBlock { last: false, number: 1, raw: &[1, 0] }),
            ReadResult::BlockNumber(9),
        ];
        let bytes = [0x0C, 4, 0, 0, 1, 4, 2, 0, 0, 1, 2, 1, 0, 3, 0, 9];
        let response = ReadResponse { results };
        let mut out = Vec::new();
        response.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(ReadResponse::decode(&bytes).as_ref(), Ok(&response));
        assert_eq!(decode_read_content(&bytes[1..]), Ok(response.results));
    }

    #[test]
    fn writes_both_ways() {
        for (confirmation, tag) in [(Confirmation::Confirmed, 6), (Confirmation::Unconfirmed, 0x16)] {
            let bytes = [tag, 1, 2, 1, 0, 1, 0x12, 0, 5];
            let variables = vec![VariableAccess::Name(0x100)];
            let request = WriteRequest { confirmation, variables, values: vec![Data::LongUnsigned(5)] };
            let mut out = Vec::new();
            request.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(WriteRequest::decode(&bytes), Ok(request));
        }
        let bytes = [0x0D, 3, 0, 1, 3, 2, 0, 1];
        let results = vec![
            WriteResult::Success,
            WriteResult::Error(DataAccessResult::ReadWriteDenied),
            WriteResult::BlockNumber(1),
        ];
        let mut out = Vec::new();
        let response = WriteResponse { results };
        response.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(WriteResponse::decode(&bytes), Ok(response));
    }

    #[test]
    fn unknown_choices_are_errors() {
        assert_eq!(ReadRequest::decode(&[5, 1, 9, 0, 0]), Err(WireErrorKind::UnknownTag(9).at(2)));
        assert_eq!(ReadResponse::decode(&[0x0C, 1, 4, 0]), Err(WireErrorKind::UnknownTag(4).at(2)));
        assert_eq!(WriteResponse::decode(&[0x0D, 1, 3, 0]), Err(WireErrorKind::UnknownTag(3).at(2)));
        assert_eq!(WriteRequest::decode(&[0x07]), Err(WireErrorKind::UnknownTag(7).at(0)));
    }
}
