//! The first byte of every xDLMS APDU, and how the plain ones map to ciphered ones.

/// initiateRequest.
pub const INITIATE_REQUEST: u8 = 0x01;
/// readRequest (SN).
pub const READ_REQUEST: u8 = 0x05;
/// writeRequest (SN).
pub const WRITE_REQUEST: u8 = 0x06;
/// initiateResponse.
pub const INITIATE_RESPONSE: u8 = 0x08;
/// readResponse (SN).
pub const READ_RESPONSE: u8 = 0x0C;
/// writeResponse (SN).
pub const WRITE_RESPONSE: u8 = 0x0D;
/// confirmedServiceError.
pub const CONFIRMED_SERVICE_ERROR: u8 = 0x0E;
/// data-notification.
pub const DATA_NOTIFICATION: u8 = 0x0F;
/// data-notification-confirm.
pub const DATA_NOTIFICATION_CONFIRM: u8 = 0x10;
/// unconfirmedWriteRequest (SN).
pub const UNCONFIRMED_WRITE_REQUEST: u8 = 0x16;
/// informationReportRequest (SN).
pub const INFORMATION_REPORT: u8 = 0x18;
/// get-request.
pub const GET_REQUEST: u8 = 0xC0;
/// set-request.
pub const SET_REQUEST: u8 = 0xC1;
/// event-notification-request.
pub const EVENT_NOTIFICATION: u8 = 0xC2;
/// action-request.
pub const ACTION_REQUEST: u8 = 0xC3;
/// get-response.
pub const GET_RESPONSE: u8 = 0xC4;
/// set-response.
pub const SET_RESPONSE: u8 = 0xC5;
/// action-response.
pub const ACTION_RESPONSE: u8 = 0xC7;
/// exception-response.
pub const EXCEPTION_RESPONSE: u8 = 0xD8;
/// access-request.
pub const ACCESS_REQUEST: u8 = 0xD9;
/// access-response.
pub const ACCESS_RESPONSE: u8 = 0xDA;
/// general-glo-ciphering.
pub const GENERAL_GLO_CIPHERING: u8 = 0xDB;
/// general-ded-ciphering.
pub const GENERAL_DED_CIPHERING: u8 = 0xDC;
/// general-ciphering.
pub const GENERAL_CIPHERING: u8 = 0xDD;
/// general-signing.
pub const GENERAL_SIGNING: u8 = 0xDF;
/// general-block-transfer.
pub const GENERAL_BLOCK_TRANSFER: u8 = 0xE0;
/// gateway-request.
pub const GATEWAY_REQUEST: u8 = 0xE6;
/// gateway-response.
pub const GATEWAY_RESPONSE: u8 = 0xE7;

/// The tag of this plain APDU under the global key; `None` where the standard has none (then general ciphering serves).
#[must_use]
pub const fn glo(plain: u8) -> Option<u8> {
    match plain {
        INITIATE_REQUEST
        | READ_REQUEST
        | WRITE_REQUEST
        | INITIATE_RESPONSE
        | READ_RESPONSE
        | WRITE_RESPONSE
        | CONFIRMED_SERVICE_ERROR
        | UNCONFIRMED_WRITE_REQUEST
        | INFORMATION_REPORT => Some(plain | 0x20),
        GET_REQUEST | SET_REQUEST | EVENT_NOTIFICATION | ACTION_REQUEST | GET_RESPONSE | SET_RESPONSE
        | ACTION_RESPONSE => Some(plain | 0x08),
        _ => None,
    }
}

/// The tag of this plain APDU under the dedicated key; `None` where the standard has none.
#[must_use]
pub const fn ded(plain: u8) -> Option<u8> {
    match glo(plain) {
        Some(glo) if plain < 0x20 => Some(glo ^ 0x60),
        Some(glo) => Some(glo ^ 0x18),
        None => None,
    }
}

/// The plain tag that a service-specific ciphered one stands for; `None` for any other tag.
#[must_use]
pub const fn plain_of(ciphered: u8) -> Option<u8> {
    let plain = match ciphered {
        0x21..=0x3F | 0x41..=0x5F => ciphered & 0x1F,
        0xC8..=0xD7 => 0xC0 | ciphered & 0x07,
        _ => return None,
    };
    if glo(plain).is_some() { Some(plain) } else { None }
}

/// Whether an APDU with this tag is one that nobody asked for, in plain form.
#[must_use]
pub const fn is_notification(first: u8) -> bool {
    matches!(first, DATA_NOTIFICATION | EVENT_NOTIFICATION | INFORMATION_REPORT)
}

/// Whether the tag is of a ciphered APDU, service-specific or general.
#[must_use]
pub const fn is_ciphered(tag: u8) -> bool {
    matches!(tag, GENERAL_GLO_CIPHERING | GENERAL_DED_CIPHERING | GENERAL_CIPHERING | GENERAL_SIGNING)
        || plain_of(tag).is_some()
}

/// Whether the tag is of a service-specific APDU under the dedicated key.
#[must_use]
pub const fn is_ded(ciphered: u8) -> bool {
    matches!(ciphered, 0x41..=0x5F | 0xD0..=0xD7) && plain_of(ciphered).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphered_forms() {
        for (plain, glo_tag, ded_tag) in [
            (INITIATE_REQUEST, 0x21, 0x41),
            (READ_REQUEST, 0x25, 0x45),
            (WRITE_REQUEST, 0x26, 0x46),
            (INITIATE_RESPONSE, 0x28, 0x48),
            (READ_RESPONSE, 0x2C, 0x4C),
            (WRITE_RESPONSE, 0x2D, 0x4D),
            (CONFIRMED_SERVICE_ERROR, 0x2E, 0x4E),
            (UNCONFIRMED_WRITE_REQUEST, 0x36, 0x56),
            (INFORMATION_REPORT, 0x38, 0x58),
            (GET_REQUEST, 0xC8, 0xD0),
            (SET_REQUEST, 0xC9, 0xD1),
            (EVENT_NOTIFICATION, 0xCA, 0xD2),
            (ACTION_REQUEST, 0xCB, 0xD3),
            (GET_RESPONSE, 0xCC, 0xD4),
            (SET_RESPONSE, 0xCD, 0xD5),
            (ACTION_RESPONSE, 0xCF, 0xD7),
        ] {
            assert_eq!((glo(plain), ded(plain)), (Some(glo_tag), Some(ded_tag)));
            assert_eq!((plain_of(glo_tag), plain_of(ded_tag)), (Some(plain), Some(plain)));
            assert_eq!((is_ded(glo_tag), is_ded(ded_tag)), (false, true));
        }
        let mapped = (0..=0xFF).filter(|&tag| plain_of(tag).is_some()).count();
        assert_eq!(mapped, 32);
        assert_eq!([glo(DATA_NOTIFICATION), ded(ACCESS_REQUEST), glo(EXCEPTION_RESPONSE)], [None; 3]);
    }
}
