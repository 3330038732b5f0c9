//! The identifiers that pair responses with requests.

/// invoke-id-and-priority: one byte of the LN services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InvokeIdAndPriority(pub u8);

impl InvokeIdAndPriority {
    /// Confirmed, high priority, id 1: what most clients send.
    pub const C1: Self = Self(0xC1);

    /// The same service class and priority with another id (its low four bits).
    #[must_use]
    pub const fn with_id(self, id: u8) -> Self {
        Self(self.0 & 0xF0 | id & 0x0F)
    }

    /// invoke-id, 0 to 15. Responses are matched by this alone: meters are known that change the other bits.
    #[must_use]
    pub const fn id(self) -> u8 {
        self.0 & 0x0F
    }

    /// Whether a response is awaited.
    #[must_use]
    pub const fn confirmed(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Whether the priority is high.
    #[must_use]
    pub const fn high_priority(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// long-invoke-id-and-priority: four bytes of data-notification and access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LongInvokeIdAndPriority(pub u32);

impl LongInvokeIdAndPriority {
    /// long-invoke-id, 24 bits.
    #[must_use]
    pub const fn id(self) -> u32 {
        self.0 & 0x00FF_FFFF
    }

    /// Whether the body describes itself.
    #[must_use]
    pub const fn self_descriptive(self) -> bool {
        self.0 & 0x1000_0000 != 0
    }

    /// Whether a list is broken off at its first error.
    #[must_use]
    pub const fn break_on_error(self) -> bool {
        self.0 & 0x2000_0000 != 0
    }

    /// Whether a response is awaited.
    #[must_use]
    pub const fn confirmed(self) -> bool {
        self.0 & 0x4000_0000 != 0
    }

    /// Whether the priority is high.
    #[must_use]
    pub const fn high_priority(self) -> bool {
        self.0 & 0x8000_0000 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let invoke = InvokeIdAndPriority(0x81);
        assert_eq!((invoke.id(), invoke.confirmed(), invoke.high_priority()), (1, false, true));
        assert_eq!(InvokeIdAndPriority::C1.with_id(0x1F), InvokeIdAndPriority(0xCF));
        let long = LongInvokeIdAndPriority(0x4000_004D);
        assert_eq!((long.id(), long.confirmed(), long.high_priority()), (0x4D, true, false));
        assert!(!long.self_descriptive() && !long.break_on_error());
    }
}
