//! COSEM date, time and date-time (Blue Book, "Date and time formats"): fields as on the wire, wildcards kept.

use super::cursor::Reader;
use super::error::WireError;

/// A date of five octets; 0xFFFF and 0xFF mean not specified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Date {
    /// Year; 0xFFFF not specified.
    pub year: u16,
    /// Month 1–12; 0xFD daylight savings end, 0xFE begin, 0xFF not specified.
    pub month: u8,
    /// Day of month 1–31; 0xFD second last, 0xFE last, 0xFF not specified.
    pub day: u8,
    /// Day of week, 1 = Monday … 7 = Sunday; 0xFF not specified.
    pub weekday: u8,
}

/// A time of day of four octets; 0xFF means not specified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// Hour 0–23.
    pub hour: u8,
    /// Minute 0–59.
    pub minute: u8,
    /// Second 0–59.
    pub second: u8,
    /// Hundredths of a second 0–99.
    pub hundredths: u8,
}

/// A date-time of twelve octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// The time of day.
    pub time: Time,
    /// UTC − local in minutes as on the wire; −0x8000 not specified.
    pub deviation: i16,
    /// Clock status bits; 0xFF not specified.
    pub status: u8,
}

impl Date {
    /// Reads exactly five octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`, `TrailingBytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Reads five octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let [high, low, month, day, weekday] = reader.array()?;
        Ok(Self { year: u16::from_be_bytes([high, low]), month, day, weekday })
    }

    /// Appends five octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.year.to_be_bytes());
        out.extend_from_slice(&[self.month, self.day, self.weekday]);
    }
}

impl Time {
    /// Reads exactly four octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`, `TrailingBytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Reads four octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let [hour, minute, second, hundredths] = reader.array()?;
        Ok(Self { hour, minute, second, hundredths })
    }

    /// Appends four octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.hour, self.minute, self.second, self.hundredths]);
    }
}

impl DateTime {
    /// Reads exactly twelve octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`, `TrailingBytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Reads twelve octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let date = Date::decode(reader)?;
        let time = Time::decode(reader)?;
        let deviation = i16::from_be_bytes(reader.array()?);
        Ok(Self { date, time, deviation, status: reader.u8()? })
    }

    /// Appends twelve octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.date.encode(out);
        self.time.encode(out);
        out.extend_from_slice(&self.deviation.to_be_bytes());
        out.push(self.status);
    }
}
