//! One client's APDUs and the meter's answers, byte for byte where it matters.

mod ciphered;
mod hostile;
mod short_names;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Application, Replies};
use crate::security::{Key, Protection, SecuritySuite, SystemTitle};
use crate::sim::config::{Framing, MeterConfig, PublicClient, Secret, SecurityConfig};
use crate::sim::faults::{Every, StaleAssociation};
use crate::sim::meter::Meter;
use crate::sim::model::preset::Preset;
use crate::wire::acse::{
    Aare, Aarq, ApplicationContext, AssociationResult, AuthenticationValue, Diagnostic, Mechanism,
    Referencing, ReleaseReason, Rlre, Rlrq,
};
use crate::wire::data::Data;
use crate::wire::obis::Obis;
use crate::wire::xdlms::action::{ActionOutcome, ActionRequest, ActionResponse};
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::fault::{ExceptionResponse, ServiceError};
use crate::wire::xdlms::gbt::GeneralBlockTransfer;
use crate::wire::xdlms::get::{self, GetRequest, GetResponse};
use crate::wire::xdlms::initiate::{InitiateRequest, InitiateResponse};
use crate::wire::xdlms::set::{SetRequest, SetResponse};
use crate::wire::xdlms::sn::{ReadRequest, VariableAccess};
use crate::wire::xdlms::{
    AttributeDescriptor, AttributeRequest, DataAccessResult, DataBlock, GetDataResult, InvokeIdAndPriority,
    MethodDescriptor,
};

const INVOKE: InvokeIdAndPriority = InvokeIdAndPriority::C1;
const SERIAL_NUMBER: AttributeDescriptor = attribute(1, Obis::new(0, 0, 96, 1, 0, 255), 2);
const NOTE: AttributeDescriptor = attribute(1, Obis::new(0, 0, 96, 1, 9, 255), 2);
const CLOCK: AttributeDescriptor = attribute(8, Obis::new(0, 0, 1, 0, 0, 255), 2);
const COUNTER: AttributeDescriptor = attribute(1, Obis::new(0, 0, 43, 1, 0, 255), 2);
const OBJECT_LIST: AttributeDescriptor = attribute(15, Obis::new(0, 0, 40, 0, 0, 255), 2);
const ENERGY: AttributeDescriptor = attribute(3, Obis::new(1, 0, 1, 8, 0, 255), 2);
const CLIENT_TITLE: SystemTitle = SystemTitle(*b"CLI\0\0\0\0\x02");
const METER_TITLE: SystemTitle = SystemTitle(*b"SIM\0\0\0\0\x01");
const CTOS: &[u8] = b"a challenge of 16";

const fn attribute(class_id: u16, instance_id: Obis, attribute_id: i8) -> AttributeDescriptor {
    AttributeDescriptor { class_id, instance_id, attribute_id }
}

fn config() -> MeterConfig {
    let mut config = MeterConfig::new(Preset::Electricity, 20_261_103, Framing::Wrapper);
    let now: Timestamp = "2026-03-15T12:07:09Z".parse().unwrap();
    config.time = Arc::new(move || now);
    config.zone = TimeZone::UTC;
    config
}

fn secured(policy: Protection) -> MeterConfig {
    let mut config = config();
    config.client_address = 1;
    config.secret = Secret::new(b"0123456789abcdef");
    config.security = Some(SecurityConfig {
        suite: SecuritySuite::Suite0,
        policy,
        system_title: METER_TITLE,
        block_cipher_key: Key::from_bytes(&[1; 16]).unwrap(),
        authentication_key: Key::from_bytes(&[2; 16]).unwrap(),
        client_counter: 100,
    });
    config
}

/// A client that says what it is told to.
struct Client {
    application: Application,
    now: Instant,
}

impl Client {
    fn new(config: MeterConfig) -> Self {
        let sap = config.client_address;
        Self::of(Arc::new(Meter::new(config)), sap)
    }

    fn of(meter: Arc<Meter>, sap: u16) -> Self {
        Self { application: Application::new(meter, sap), now: Instant::now() }
    }

    fn all(&mut self, apdu: &[u8]) -> Vec<Vec<u8>> {
        let mut replies = Replies::default();
        self.application.handle(self.now, apdu, &mut replies);
        replies.iter().map(<[u8]>::to_vec).collect()
    }

    fn ask(&mut self, apdu: &[u8]) -> Vec<u8> {
        let mut replies = self.all(apdu);
        assert_eq!(replies.len(), 1, "{replies:02x?}");
        replies.remove(0)
    }

    fn exception(&mut self, apdu: &[u8]) -> (ServiceError, Option<u32>) {
        let answer = ExceptionResponse::decode(&self.ask(apdu)).unwrap();
        (answer.service, answer.invocation_counter)
    }

    /// Associates without ciphering; the diagnostic, where it was refused.
    fn associate(&mut self, mechanism: Mechanism, value: Option<&[u8]>) -> Result<(), Diagnostic> {
        let context = match self.application.meter().config().referencing {
            Referencing::LogicalName => ApplicationContext::LogicalName,
            Referencing::ShortName => ApplicationContext::ShortName,
        };
        let mut initiate = Vec::new();
        InitiateRequest::new(Conformance(0xFF_FFFF), 0xFFFF).encode(&mut initiate);
        let answer = self.ask(&aarq(context, mechanism, value, &initiate));
        let aare = Aare::decode(&answer).unwrap();
        if aare.result == AssociationResult::Accepted { Ok(()) } else { Err(aare.diagnostic) }
    }

    fn open(config: MeterConfig) -> Self {
        let mut client = Self::new(config);
        client.associate(Mechanism::Lowest, None).unwrap();
        client
    }

    fn get(&mut self, attribute: AttributeDescriptor) -> GetDataResult {
        match GetResponse::decode(&self.ask(&get_normal(attribute))).unwrap() {
            GetResponse::Normal { invoke: INVOKE, result } => result,
            other => panic!("{other:?}"),
        }
    }

    fn set(&mut self, attribute: AttributeDescriptor, value: Data) -> DataAccessResult {
        let request = AttributeRequest::whole(attribute);
        let apdu = encoded(|out| SetRequest::Normal { invoke: INVOKE, request, value }.encode(out));
        match SetResponse::decode(&self.ask(&apdu)).unwrap() {
            SetResponse::Normal { invoke: INVOKE, result } => result,
            other => panic!("{other:?}"),
        }
    }

    fn action(&mut self, class_id: u16, instance_id: Obis, method_id: i8, parameter: Data) -> ActionOutcome {
        let method = MethodDescriptor { class_id, instance_id, method_id };
        let request = ActionRequest::Normal { invoke: INVOKE, method, parameter: Some(parameter) };
        match ActionResponse::decode(&self.ask(&encoded(|out| request.encode(out)))).unwrap() {
            ActionResponse::Normal { invoke: INVOKE, outcome } => outcome,
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, variables: Vec<VariableAccess<'_>>) -> Vec<u8> {
        self.ask(&encoded(|out| ReadRequest { variables }.encode(out)))
    }
}

fn aarq(context: ApplicationContext, mechanism: Mechanism, value: Option<&[u8]>, initiate: &[u8]) -> Vec<u8> {
    encoded(|out| {
        Aarq {
            application_context: context,
            calling_ap_title: Some(&CLIENT_TITLE.0),
            calling_ae_qualifier: None,
            calling_ae_invocation_id: None,
            mechanism,
            authentication_value: value.map(AuthenticationValue),
            user_information: Some(initiate),
        }
        .encode(out);
    })
}

fn encoded(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut out);
    out
}

fn get_normal(attribute: AttributeDescriptor) -> Vec<u8> {
    encoded(|out| get::put_normal(out, INVOKE, &attribute, None))
}

#[test]
fn a_plain_association() {
    let mut client = Client::new(config());
    let closed = (ServiceError::OperationNotPossible, None);
    assert_eq!(client.exception(&get_normal(SERIAL_NUMBER)), closed, "not associated");
    client.associate(Mechanism::Lowest, None).unwrap();
    assert_eq!(client.get(SERIAL_NUMBER), Ok(Data::OctetString(b"20261103".to_vec())));
    let released = client.ask(&encoded(|out| Rlrq { reason: None, user_information: None }.encode(out)));
    assert_eq!(Rlre::decode(&released).unwrap().reason, Some(ReleaseReason::NORMAL));
    assert_eq!(client.exception(&get_normal(SERIAL_NUMBER)), closed, "released");
}

#[test]
fn what_may_not_associate() {
    let refused = |config: MeterConfig, sap, mechanism, value: Option<&[u8]>| {
        Client::of(Arc::new(Meter::new(config)), sap).associate(mechanism, value).unwrap_err()
    };
    let password = || {
        let mut config = config();
        (config.authentication, config.secret) = (Mechanism::Low, Secret::new(b"right"));
        config.client_address = 1;
        config
    };
    assert_eq!(refused(password(), 1, Mechanism::Lowest, None), Diagnostic::MECHANISM_NAME_REQUIRED);
    assert_eq!(refused(password(), 1, Mechanism::Low, Some(b"wrong")), Diagnostic::AUTHENTICATION_FAILURE);
    assert_eq!(refused(password(), 1, Mechanism::Low, None), Diagnostic::AUTHENTICATION_FAILURE);
    let other = refused(password(), 1, Mechanism::HighMd5, Some(CTOS));
    assert_eq!(other, Diagnostic::MECHANISM_NAME_NOT_RECOGNISED);
    assert_eq!(refused(password(), 2, Mechanism::Low, Some(b"right")).value, 1, "another client");
    let mut private = password();
    private.public_client = PublicClient::Refused;
    assert_eq!(refused(private, 16, Mechanism::Lowest, None).value, 1, "no public client");
    let mut short = config();
    short.referencing = Referencing::ShortName;
    let mut client = Client::new(short);
    let mut initiate = Vec::new();
    InitiateRequest::new(Conformance::LN_PROPOSAL, 1024).encode(&mut initiate);
    let aare = client.ask(&aarq(ApplicationContext::LogicalName, Mechanism::Lowest, None, &initiate));
    assert_eq!(Aare::decode(&aare).unwrap().diagnostic.value, 2, "the wrong referencing");
}

#[test]
fn the_negotiation() {
    let mut client = Client::new(config());
    let mut propose = |conformance, max_pdu| {
        let mut initiate = Vec::new();
        InitiateRequest::new(conformance, max_pdu).encode(&mut initiate);
        let aare = client.ask(&aarq(ApplicationContext::LogicalName, Mechanism::Lowest, None, &initiate));
        Aare::decode(&aare).unwrap().user_information.unwrap().to_vec()
    };
    let agreed = InitiateResponse::decode(&propose(Conformance::LN_PROPOSAL, 500)).unwrap();
    assert_eq!((agreed.conformance, agreed.max_pdu), (Conformance(0x00_5E1D), 1024));
    assert_eq!(propose(Conformance::SN_PROPOSAL, 500), [0x0E, 1, 6, 2]);
    assert_eq!(propose(Conformance::LN_PROPOSAL, 11), [0x0E, 1, 6, 3]);
}

#[test]
fn refusals_of_get() {
    let mut client = Client::open(config());
    let unknown = attribute(3, Obis::new(1, 0, 99, 99, 99, 255), 2);
    assert_eq!(client.get(unknown), Err(DataAccessResult::ObjectUndefined));
    assert_eq!(
        client.get(AttributeDescriptor { class_id: 4, ..ENERGY }),
        Err(DataAccessResult::ObjectClassInconsistent)
    );
    assert_eq!(
        client.get(AttributeDescriptor { attribute_id: 9, ..ENERGY }),
        Err(DataAccessResult::ObjectUndefined)
    );
    assert_eq!(
        client.get(AttributeDescriptor { attribute_id: 7, ..OBJECT_LIST }),
        Err(DataAccessResult::ReadWriteDenied)
    );
    assert_eq!(client.exception(&[0xD9, 0, 0, 0, 0]), (ServiceError::ServiceNotSupported, None));
    assert_eq!(client.exception(&[0xC0, 0x01]), (ServiceError::OtherReason, None));
    assert_eq!(client.exception(&[0xC0; 2000]), (ServiceError::PduTooLong, None));
}

#[test]
fn lists_and_blocks_of_get() {
    let mut client = Client::open(config());
    let whole = client.get(SERIAL_NUMBER).unwrap();
    let requests = [SERIAL_NUMBER, attribute(1, Obis([0; 6]), 2)].map(AttributeRequest::whole).to_vec();
    let list = client.ask(&encoded(|out| GetRequest::WithList { invoke: INVOKE, requests }.encode(out)));
    let expected = vec![Ok(whole), Err(DataAccessResult::ObjectUndefined)];
    assert_eq!(GetResponse::decode(&list), Ok(GetResponse::WithList { invoke: INVOKE, results: expected }));

    let mut small = config();
    small.max_pdu = 200;
    let mut client = Client::open(small);
    let mut raw = Vec::new();
    let mut apdu = client.ask(&get_normal(OBJECT_LIST));
    for number in 1.. {
        assert!(apdu.len() <= 200);
        let GetResponse::WithDataBlock { last, block, result, .. } = GetResponse::decode(&apdu).unwrap()
        else {
            panic!("{apdu:02x?}");
        };
        assert_eq!(block, number);
        raw.extend_from_slice(result.unwrap());
        if last {
            break;
        }
        apdu = client.ask(&encoded(|out| get::put_next(out, INVOKE, number)));
    }
    assert!(Data::from_bytes(&raw).unwrap().elements().unwrap().len() > 30);

    let refusal = |apdu: &[u8]| match GetResponse::decode(apdu).unwrap() {
        GetResponse::WithDataBlock { last: true, result: Err(result), .. } => result,
        other => panic!("{other:?}"),
    };
    let next = |block| encoded(|out| get::put_next(out, INVOKE, block));
    assert_eq!(refusal(&client.ask(&next(7))), DataAccessResult::NoLongGetInProgress);
    client.ask(&get_normal(OBJECT_LIST));
    assert_eq!(refusal(&client.ask(&next(2))), DataAccessResult::DataBlockNumberInvalid);
}

#[test]
fn set_at_once_in_lists_and_in_blocks() {
    let mut client = Client::open(config());
    let text = |text: &str| Data::OctetString(text.as_bytes().to_vec());
    assert_eq!(client.set(NOTE, text("cellar")), DataAccessResult::Success);
    assert_eq!(client.get(NOTE), Ok(text("cellar")));
    assert_eq!(client.set(NOTE, Data::Unsigned(1)), DataAccessResult::TypeUnmatched);
    assert_eq!(client.set(SERIAL_NUMBER, text("1")), DataAccessResult::ReadWriteDenied);

    let requests = [NOTE, SERIAL_NUMBER].map(AttributeRequest::whole).to_vec();
    let values = vec![text("attic"), text("1")];
    let list = SetRequest::WithList { invoke: INVOKE, requests: requests.clone(), values };
    let results = vec![DataAccessResult::Success, DataAccessResult::ReadWriteDenied];
    let answer = client.ask(&encoded(|out| list.encode(out)));
    assert_eq!(
        SetResponse::decode(&answer),
        Ok(SetResponse::WithList { invoke: INVOKE, results: results.clone() })
    );

    let value = text("a note of more than one block").to_bytes();
    let (first, second) = value.split_at(10);
    let block = |last, number, raw| DataBlock { last, number, raw };
    let request = AttributeRequest::whole(NOTE);
    let first = SetRequest::FirstBlock { invoke: INVOKE, request, block: block(false, 1, first) };
    let answer = client.ask(&encoded(|out| first.encode(out)));
    assert_eq!(SetResponse::decode(&answer), Ok(SetResponse::Block { invoke: INVOKE, block: 1 }));
    let last = SetRequest::Block { invoke: INVOKE, block: block(true, 2, second) };
    let answer = SetResponse::decode(&client.ask(&encoded(|out| last.encode(out))));
    let taken = |result| Ok(SetResponse::LastBlock { invoke: INVOKE, result, block: 2 });
    assert_eq!(answer, taken(DataAccessResult::Success));
    assert_eq!(client.get(NOTE), Ok(text("a note of more than one block")));
    let answer = SetResponse::decode(&client.ask(&encoded(|out| last.encode(out))));
    assert_eq!(answer, taken(DataAccessResult::NoLongSetInProgress));

    let mut raw = vec![2];
    raw.extend(text("list").to_bytes());
    raw.extend(text("1").to_bytes());
    let list = SetRequest::WithListFirstBlock { invoke: INVOKE, requests, block: block(true, 1, &raw) };
    let answer = client.ask(&encoded(|out| list.encode(out)));
    let expected = SetResponse::LastBlockWithList { invoke: INVOKE, results, block: 1 };
    assert_eq!(SetResponse::decode(&answer), Ok(expected));
    assert_eq!(client.get(NOTE), Ok(text("list")));
}

#[test]
fn the_clock_can_be_set_and_shifted() {
    let mut client = Client::open(config());
    let shown = |client: &mut Client| client.get(CLOCK).unwrap().date_time().unwrap();
    let mut time = shown(&mut client);
    assert_eq!((time.time.hour, time.time.minute, time.deviation), (12, 7, 0));
    time.time.minute = 30;
    assert_eq!(client.set(CLOCK, Data::OctetString(time.to_bytes())), DataAccessResult::Success);
    assert_eq!(shown(&mut client).time.minute, 30);
    let shift = client.action(8, CLOCK.instance_id, 6, Data::Long(-600));
    assert_eq!(shift, ActionOutcome::plain(DataAccessResult::Success));
    assert_eq!(shown(&mut client).time.minute, 20);
    client.action(8, CLOCK.instance_id, 1, Data::Integer(0));
    assert_eq!((shown(&mut client).time.minute, shown(&mut client).time.second), (15, 0));
    let wrong = client.action(8, CLOCK.instance_id, 6, Data::Long(901));
    assert_eq!(wrong, ActionOutcome::plain(DataAccessResult::TypeUnmatched));
    assert_eq!(client.set(CLOCK, Data::Null), DataAccessResult::TypeUnmatched);
}

#[test]
fn methods_at_once_in_lists_and_in_blocks() {
    let breaker = Obis::new(0, 0, 96, 3, 10, 255);
    let state = attribute(70, breaker, 2);
    let mut client = Client::open(config());
    assert_eq!(client.get(state), Ok(Data::Boolean(true)));
    let done = ActionOutcome::plain(DataAccessResult::Success);
    assert_eq!(client.action(70, breaker, 1, Data::Integer(0)), done);
    assert_eq!(client.get(state), Ok(Data::Boolean(false)));
    assert_eq!(client.action(70, breaker, 9, Data::Integer(0)).result, DataAccessResult::ObjectUndefined);

    let method = |method_id| MethodDescriptor { class_id: 70, instance_id: breaker, method_id };
    let (methods, parameters) = (vec![method(2), method(9)], vec![Data::Integer(0), Data::Null]);
    let list = ActionRequest::WithList { invoke: INVOKE, methods, parameters };
    let answer = client.ask(&encoded(|out| list.encode(out)));
    let outcomes = vec![done.clone(), ActionOutcome::plain(DataAccessResult::ObjectUndefined)];
    assert_eq!(ActionResponse::decode(&answer), Ok(ActionResponse::WithList { invoke: INVOKE, outcomes }));
    assert_eq!(client.get(state), Ok(Data::Boolean(true)));

    let block = |last, number, raw| DataBlock { last, number, raw };
    let first =
        ActionRequest::FirstBlock { invoke: INVOKE, method: method(1), block: block(false, 1, &[0x0F]) };
    let answer = client.ask(&encoded(|out| first.encode(out)));
    assert_eq!(ActionResponse::decode(&answer), Ok(ActionResponse::NextBlock { invoke: INVOKE, block: 1 }));
    let last = ActionRequest::Block { invoke: INVOKE, block: block(true, 2, &[0x00]) };
    let answer = client.ask(&encoded(|out| last.encode(out)));
    assert_eq!(ActionResponse::decode(&answer), Ok(ActionResponse::Normal { invoke: INVOKE, outcome: done }));
    assert_eq!(client.get(state), Ok(Data::Boolean(false)));
}

#[test]
fn busy_at_first() {
    let mut config = config();
    config.faults.busy_first = 2;
    let mut client = Client::open(config);
    assert_eq!(client.get(SERIAL_NUMBER), Err(DataAccessResult::TemporaryFailure));
    assert_eq!(client.get(SERIAL_NUMBER), Err(DataAccessResult::TemporaryFailure));
    assert!(client.get(SERIAL_NUMBER).is_ok());
}

#[test]
fn a_stale_association_keeps_others_out() {
    let mut config = config();
    config.faults.stale_association = StaleAssociation::Lingers(Duration::from_secs(60));
    let meter = Arc::new(Meter::new(config));
    let mut first = Client::of(Arc::clone(&meter), 16);
    first.associate(Mechanism::Lowest, None).unwrap();
    first.application.abandon(first.now);
    let mut second = Client::of(Arc::clone(&meter), 16);
    let mut initiate = Vec::new();
    InitiateRequest::new(Conformance::LN_PROPOSAL, 1024).encode(&mut initiate);
    let ask = aarq(ApplicationContext::LogicalName, Mechanism::Lowest, None, &initiate);
    assert_eq!(second.exception(&ask), (ServiceError::OperationNotPossible, None));
    second.now += Duration::from_secs(60);
    second.associate(Mechanism::Lowest, None).unwrap();
    second.application.abandon(second.now);
    first.now = second.now;
    assert_eq!(first.exception(&ask), (ServiceError::OperationNotPossible, None));
    first.application.disconnect();
    first.associate(Mechanism::Lowest, None).unwrap();
}

#[test]
fn general_block_transfer() {
    let mut config = config();
    (config.general_block_transfer, config.max_pdu) = (Some(5), 100);
    let mut client = Client::open(config);
    let mut raw = Vec::new();
    let mut apdus = client.all(&get_normal(OBJECT_LIST));
    loop {
        let mut acknowledged = 0;
        let mut last = false;
        for apdu in &apdus {
            assert!(apdu.len() <= 100);
            let block = GeneralBlockTransfer::decode(apdu).unwrap();
            assert_eq!(block.window, 5);
            raw.extend_from_slice(block.data);
            (acknowledged, last) = (block.number, block.last);
        }
        if last {
            break;
        }
        let ack = GeneralBlockTransfer {
            last: true,
            streaming: false,
            window: 3,
            number: acknowledged,
            acknowledged,
            data: &[],
        };
        apdus = client.all(&encoded(|out| ack.encode(out)));
        assert!((1..=3).contains(&apdus.len()));
    }
    let GetResponse::Normal { result: Ok(Data::Array(list)), .. } = GetResponse::decode(&raw).unwrap() else {
        panic!("{raw:02x?}");
    };
    assert!(list.len() > 30);

    let request = get_normal(SERIAL_NUMBER);
    let block = |last, number, data| {
        encoded(|out| {
            GeneralBlockTransfer { last, streaming: false, window: 1, number, acknowledged: 0, data }
                .encode(out);
        })
    };
    let ack = client.ask(&block(false, 1, &request[..5]));
    assert_eq!(GeneralBlockTransfer::decode(&ack).unwrap().acknowledged, 1);
    let answer = client.ask(&block(true, 2, &request[5..]));
    let answer = GeneralBlockTransfer::decode(&answer).unwrap();
    assert!(answer.last && answer.acknowledged == 2);
    assert!(matches!(GetResponse::decode(answer.data), Ok(GetResponse::Normal { result: Ok(_), .. })));
}
