//! Knows the octets of a secret where they pass: passwords and keys have their places in APDUs.

/// Octets that are looked back on. The longest pattern is that of a secret of class 15.
type History = u128;

/// Follows the octets of APDUs one by one and says which belong to a secret. It needs no other state, so it survives
/// streams that are cut, joined or noisy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Secrets {
    history: History,
    /// Octets of a secret that are still to come.
    left: usize,
}

impl Secrets {
    /// Whether this octet, the next of the stream, is part of a secret.
    pub(super) fn is_secret(&mut self, octet: u8) -> bool {
        if self.left > 0 {
            self.left -= 1;
            self.history = 0;
            return true;
        }
        self.history = self.history << 8 | History::from(octet);
        let h = self.history.to_be_bytes();
        self.left = password(&h).or_else(|| dedicated_key(&h)).or_else(|| new_secret(&h)).unwrap_or(0);
        false
    }
}

/// `AC n 80 m`: calling-authentication-value of an AARQ, a charstring (Green Book 9.4.2). Octets behind it.
fn password(h: &[u8]) -> Option<usize> {
    match *h {
        [.., 0xAC, n, 0x80, m] if n < 0x80 && usize::from(n) == usize::from(m) + 2 => Some(usize::from(m)),
        [.., 0xAC, 0x81, n, 0x80, m] if m < 0x80 && usize::from(n) == usize::from(m) + 2 => {
            Some(usize::from(m))
        }
        [.., 0xAC, 0x81, n, 0x80, 0x81, m] if usize::from(n) == usize::from(m) + 3 => Some(usize::from(m)),
        _ => None,
    }
}

/// The dedicated key of an InitiateRequest, in the clear or merely authenticated: `01 01`, then 16 or 32 octets.
fn dedicated_key(h: &[u8]) -> Option<usize> {
    const AUTHENTICATED: u8 = 0x10;
    const AUTHENTICATED_AND_ENCRYPTED: u8 = 0x30;
    let [head @ .., 0x01, 0x01, length @ (0x10 | 0x20)] = h else { return None };
    let in_the_clear = matches!(head, [.., 0x04, _] | [.., 0x04, 0x81, _]);
    let authenticated = matches!(head, [.., 0x21 | 0x41, _, control, _, _, _, _] if control & AUTHENTICATED_AND_ENCRYPTED == AUTHENTICATED);
    (in_the_clear || authenticated).then(|| usize::from(*length))
}

/// A new secret of an association: attribute 7 of class 15 is set, or method 2 invoked, with an octet string.
fn new_secret(h: &[u8]) -> Option<usize> {
    match *h {
        [.., 0x00, 0x0F, 0x00, 0x00, 0x28, 0x00, _, 0xFF, 0x07, 0x00, 0x09 | 0x0A, n] if n < 0x80 => {
            Some(usize::from(n))
        }
        [.., 0x00, 0x0F, 0x00, 0x00, 0x28, 0x00, _, 0xFF, 0x02, 0x01, 0x09 | 0x0A, n] if n < 0x80 => {
            Some(usize::from(n))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(octets: &[u8]) -> Vec<u8> {
        let mut secrets = Secrets::default();
        octets.iter().map(|&octet| if secrets.is_secret(octet) { b'*' } else { octet }).collect()
    }

    #[test]
    fn passwords_of_any_length() {
        for length in [0_u8, 1, 8, 64, 125] {
            let password = vec![b'x'; usize::from(length)];
            let head = [0x8B, 0x07, 0x60, 0x85, 0x74, 0x05, 0x08, 0x02, 0x01, 0xAC, length + 2, 0x80, length];
            let shown = masked(&[&head[..], &password, &[0xBE, 0x10]].concat());
            assert_eq!(shown, [&head[..], &vec![b'*'; usize::from(length)], &[0xBE, 0x10]].concat());
        }
        let long = [&[0xAC, 0x81, 203, 0x80, 0x81, 200][..], &[b'x'; 200], b"end"].concat();
        assert!(masked(&long).ends_with(b"*end") && !masked(&long).contains(&b'x'));
    }

    #[test]
    fn dedicated_keys() {
        let clear = [&[0xBE, 0x20, 0x04, 0x1E, 0x01, 0x01, 0x10][..], &[b'x'; 16], &[0, 0, 6]].concat();
        assert!(!masked(&clear).contains(&b'x') && masked(&clear).ends_with(&[0, 0, 6]));
        let merely_authenticated =
            [&[0x04, 0x40, 0x21, 0x3E, 0x10, 0, 0, 0, 1, 0x01, 0x01, 0x20][..], &[b'x'; 32], b"tag"].concat();
        assert!(!masked(&merely_authenticated).contains(&b'x'));
        // An array of one long is none.
        let array = [0xC4, 0x01, 0xC1, 0x00, 0x01, 0x01, 0x10, 0x12, 0x34];
        assert_eq!(masked(&array), array);
    }

    #[test]
    fn new_secrets() {
        let set = [&[0xC1, 1, 0xC1, 0, 15, 0, 0, 40, 0, 0, 255, 7, 0, 9, 8][..], b"12345678"].concat();
        assert_eq!(masked(&set)[15..], *b"********");
        let action = [&[0xC3, 1, 0xC1, 0, 15, 0, 0, 40, 0, 3, 255, 2, 1, 9, 16][..], &[7; 16]].concat();
        assert_eq!(masked(&action)[15..], [b'*'; 16]);
    }
}
