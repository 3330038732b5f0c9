//! Any APDU of the library, told apart by its tag as a receiver does.

use dlms2mqtt::wire::acse::{self, Aare, Aarq, Rlre, Rlrq};
use dlms2mqtt::wire::error::{WireError, WireErrorKind};
use dlms2mqtt::wire::xdlms::access::{AccessRequest, AccessResponse};
use dlms2mqtt::wire::xdlms::action::{ActionRequest, ActionResponse};
use dlms2mqtt::wire::xdlms::ciphered::{GeneralCiphered, ServiceCiphered};
use dlms2mqtt::wire::xdlms::fault::{ConfirmedServiceError, ExceptionResponse};
use dlms2mqtt::wire::xdlms::gbt::GeneralBlockTransfer;
use dlms2mqtt::wire::xdlms::get::{GetRequest, GetResponse};
use dlms2mqtt::wire::xdlms::initiate::{InitiateRequest, InitiateResponse};
use dlms2mqtt::wire::xdlms::notify::{
    DataNotification, DataNotificationConfirm, EventNotification, InformationReport,
};
use dlms2mqtt::wire::xdlms::set::{SetRequest, SetResponse};
use dlms2mqtt::wire::xdlms::sn::{ReadRequest, ReadResponse, WriteRequest, WriteResponse};
use dlms2mqtt::wire::xdlms::tag;

macro_rules! apdus {
    ($($tag:pat => $variant:ident($type:ty);)*) => {
        /// An APDU.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Apdu<'a> { $($variant($type),)* }

        impl<'a> Apdu<'a> {
            pub(crate) fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
                match apdu.first().copied() {
                    None => Err(WireErrorKind::Truncated.at(0)),
                    $(Some($tag) => <$type>::decode(apdu).map(Self::$variant),)*
                    Some(_) => ServiceCiphered::decode(apdu).map(Self::ServiceCiphered),
                }
            }

            pub(crate) fn encode(&self) -> Vec<u8> {
                let mut out = Vec::new();
                match self { $(Self::$variant(apdu) => apdu.encode(&mut out),)* }
                out
            }
        }
    };
}

apdus! {
    acse::AARQ => Aarq(Aarq<'a>);
    acse::AARE => Aare(Aare<'a>);
    acse::RLRQ => Rlrq(Rlrq<'a>);
    acse::RLRE => Rlre(Rlre<'a>);
    tag::INITIATE_REQUEST => InitiateRequest(InitiateRequest);
    tag::INITIATE_RESPONSE => InitiateResponse(InitiateResponse);
    tag::READ_REQUEST => ReadRequest(ReadRequest<'a>);
    tag::READ_RESPONSE => ReadResponse(ReadResponse<'a>);
    tag::WRITE_REQUEST | tag::UNCONFIRMED_WRITE_REQUEST => WriteRequest(WriteRequest<'a>);
    tag::WRITE_RESPONSE => WriteResponse(WriteResponse);
    tag::CONFIRMED_SERVICE_ERROR => ConfirmedServiceError(ConfirmedServiceError);
    tag::DATA_NOTIFICATION => DataNotification(DataNotification<'a>);
    tag::DATA_NOTIFICATION_CONFIRM => DataNotificationConfirm(DataNotificationConfirm);
    tag::INFORMATION_REPORT => InformationReport(InformationReport<'a>);
    tag::GET_REQUEST => GetRequest(GetRequest);
    tag::GET_RESPONSE => GetResponse(GetResponse<'a>);
    tag::SET_REQUEST => SetRequest(SetRequest<'a>);
    tag::SET_RESPONSE => SetResponse(SetResponse);
    tag::EVENT_NOTIFICATION => EventNotification(EventNotification);
    tag::ACTION_REQUEST => ActionRequest(ActionRequest<'a>);
    tag::ACTION_RESPONSE => ActionResponse(ActionResponse<'a>);
    tag::EXCEPTION_RESPONSE => ExceptionResponse(ExceptionResponse);
    tag::ACCESS_REQUEST => AccessRequest(AccessRequest);
    tag::ACCESS_RESPONSE => AccessResponse(AccessResponse);
    tag::GENERAL_GLO_CIPHERING | tag::GENERAL_DED_CIPHERING => GeneralCiphered(GeneralCiphered<'a>);
    tag::GENERAL_BLOCK_TRANSFER => GeneralBlockTransfer(GeneralBlockTransfer<'a>);
    0x21..=0x5F | 0xC8..=0xD7 => ServiceCiphered(ServiceCiphered<'a>);
}
