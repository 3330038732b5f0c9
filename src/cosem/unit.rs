//! Physical units: the codes of the Blue Book's unit enumeration and their ASCII symbols.

use std::fmt;

/// A unit by its code (Blue Book, scal_unit_type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit(pub u8);

impl Unit {
    /// No unit, or a count.
    pub const NONE: Self = Self(255);

    /// The symbol as published; `None` for the codes that mean "no unit" (0 and 255) and for reserved ones.
    #[must_use]
    pub fn symbol(self) -> Option<&'static str> {
        SYMBOLS
            .binary_search_by_key(&self.0, |&(code, _)| code)
            .ok()
            .and_then(|at| SYMBOLS.get(at))
            .map(|s| s.1)
    }

    /// Whether the code means "no unit".
    #[must_use]
    pub const fn is_none(self) -> bool {
        matches!(self.0, 0 | 255)
    }

    /// The unit with this symbol as published; the lowest code where several share it.
    #[must_use]
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        SYMBOLS.iter().find(|&&(_, known)| known == symbol).map(|&(code, _)| Self(code))
    }

    /// The published text: the symbol, `unit(n)` for a reserved code, `None` for no unit.
    #[must_use]
    pub fn text(self) -> Option<String> {
        (!self.is_none()).then(|| self.to_string())
    }
}

impl fmt::Display for Unit {
    /// The symbol, or `unit(n)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => f.write_str(symbol),
            None => write!(f, "unit({})", self.0),
        }
    }
}

/// Code and symbol, by code. ASCII: `³` is 3, `²` 2, `·` a dot, `Ω` ohm, `°` deg, `µ` u.
const SYMBOLS: &[(u8, &str)] = &[
    (1, "a"),
    (2, "mo"),
    (3, "wk"),
    (4, "d"),
    (5, "h"),
    (6, "min"),
    (7, "s"),
    (8, "deg"),
    (9, "degC"),
    (10, "currency"),
    (11, "m"),
    (12, "m/s"),
    (13, "m3"),
    (14, "m3"),
    (15, "m3/h"),
    (16, "m3/h"),
    (17, "m3/d"),
    (18, "m3/d"),
    (19, "l"),
    (20, "kg"),
    (21, "N"),
    (22, "Nm"),
    (23, "Pa"),
    (24, "bar"),
    (25, "J"),
    (26, "J/h"),
    (27, "W"),
    (28, "VA"),
    (29, "var"),
    (30, "Wh"),
    (31, "VAh"),
    (32, "varh"),
    (33, "A"),
    (34, "C"),
    (35, "V"),
    (36, "V/m"),
    (37, "F"),
    (38, "ohm"),
    (39, "ohmm2/m"),
    (40, "Wb"),
    (41, "T"),
    (42, "A/m"),
    (43, "H"),
    (44, "Hz"),
    (45, "1/(Wh)"),
    (46, "1/(varh)"),
    (47, "1/(VAh)"),
    (48, "V2h"),
    (49, "A2h"),
    (50, "kg/s"),
    (51, "S"),
    (52, "K"),
    (53, "1/(V2h)"),
    (54, "1/(A2h)"),
    (55, "1/m3"),
    (56, "%"),
    (57, "Ah"),
    (60, "Wh/m3"),
    (61, "J/m3"),
    (62, "Mol %"),
    (63, "g/m3"),
    (64, "Pa.s"),
    (65, "J/kg"),
    (66, "g/cm2"),
    (67, "atm"),
    (70, "dBm"),
    (71, "dBuV"),
    (72, "dB"),
    (128, "in"),
    (129, "ft"),
    (130, "lb"),
    (131, "degF"),
    (132, "degR"),
    (133, "in2"),
    (134, "ft2"),
    (135, "acre"),
    (136, "in3"),
    (137, "ft3"),
    (138, "acre ft"),
    (139, "gal(UK)"),
    (140, "gal(US)"),
    (141, "lbf"),
    (142, "psi"),
    (143, "lb/ft3"),
    (144, "lb/(ft.s)"),
    (145, "ft2/s"),
    (146, "BTU"),
    (147, "therm (EU)"),
    (148, "therm (US)"),
    (149, "BTU/lb"),
    (150, "BTU/ft3"),
    (151, "ft3"),
    (152, "ft/s"),
    (153, "ft3/s"),
    (154, "ft3/min"),
    (155, "ft3/h"),
    (156, "ft3/d"),
    (157, "acre ft/s"),
    (158, "acre ft/min"),
    (159, "acre ft/h"),
    (160, "acre ft/d"),
    (161, "gal(UK)"),
    (162, "gal(UK)/s"),
    (163, "gal(UK)/min"),
    (164, "gal(UK)/h"),
    (165, "gal(UK)/d"),
    (166, "gal(US)"),
    (167, "gal(US)/s"),
    (168, "gal(US)/min"),
    (169, "gal(US)/h"),
    (170, "gal(US)/d"),
    (171, "BTU/s"),
    (172, "BTU/min"),
    (173, "BTU/h"),
    (174, "BTU/d"),
    (254, "other"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_symbols_are_ascii() {
        assert!(SYMBOLS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(SYMBOLS.iter().all(|(_, symbol)| symbol.is_ascii() && !symbol.is_empty()));
    }

    #[test]
    fn published_text() {
        for (code, text) in [
            (0, None),
            (255, None),
            (8, Some("deg")),
            (9, Some("degC")),
            (13, Some("m3")),
            (30, Some("Wh")),
            (38, Some("ohm")),
            (58, Some("unit(58)")),
            (64, Some("Pa.s")),
            (66, Some("g/cm2")),
            (71, Some("dBuV")),
            (127, Some("unit(127)")),
            (254, Some("other")),
        ] {
            assert_eq!(Unit(code).text().as_deref(), text, "unit {code}");
        }
        assert_eq!(Unit::from_symbol("m3"), Some(Unit(13)));
        assert_eq!(Unit::from_symbol("kWh"), None);
    }
}
