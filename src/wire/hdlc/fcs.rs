//! The frame check sequence: CRC-16/X-25 (ISO/IEC 13239), sent low octet first.

/// The check over a run of octets, fed piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fcs(u16);

impl Fcs {
    /// Before the first octet.
    pub const START: Self = Self(0xFFFF);

    /// After any octets that end with their own correct check sequence. A header with its HCS always
    /// leaves the register here, so the FCS can go on from it without reading the header again.
    pub const GOOD: Self = Self(0xF0B8);

    /// The check after `bytes` too.
    #[must_use]
    pub fn update(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |register, &byte| {
            let [low, _] = register.to_le_bytes();
            let entry = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default();
            (register >> 8) ^ entry
        }))
    }

    /// The two octets to send.
    #[must_use]
    pub const fn octets(self) -> [u8; 2] {
        self.value().to_le_bytes()
    }

    /// The check value.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0 ^ 0xFFFF
    }
}

const TABLE: [u16; 256] = table();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated by the compiler")]
const fn table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut index = 0;
    while index < 256 {
        let mut register = index as u16;
        let mut bit = 0;
        while bit < 8 {
            register = if register & 1 == 1 { (register >> 1) ^ 0x8408 } else { register >> 1 };
            bit += 1;
        }
        table[index] = register;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_check_value() {
        let check = Fcs::START.update(b"123456789");
        assert_eq!(check.value(), 0x906E);
        assert_eq!(check.octets(), [0x6E, 0x90]);
    }

    #[test]
    fn residue_after_a_correct_check_sequence() {
        for data in [&b""[..], b"x", b"some octets", &[0x7E; 300]] {
            let check = Fcs::START.update(data);
            assert_eq!(check.update(&check.octets()), Fcs::GOOD);
            assert_eq!(
                Fcs::START.update(data.split_at(data.len() / 2).0).update(data.split_at(data.len() / 2).1),
                check
            );
        }
    }
}
