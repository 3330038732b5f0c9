//! Requests that are cut, spoilt or made up: the meter answers or is silent, and serves the next client.

use super::*;
use crate::sim::model::wave::Seed;
use crate::wire::xdlms::SelectiveAccess;
use crate::wire::xdlms::sn::{Confirmation, WriteRequest};

/// One request of each kind, so that spoilt ones reach every service.
fn requests() -> Vec<Vec<u8>> {
    let profile = attribute(7, Obis::new(1, 0, 99, 1, 0, 255), 2);
    let entries = Data::Structure(vec![
        Data::DoubleLongUnsigned(1),
        Data::DoubleLongUnsigned(3),
        Data::LongUnsigned(1),
        Data::LongUnsigned(2),
    ]);
    let selection = SelectiveAccess { selector: 2, parameters: entries };
    let block = DataBlock { last: false, number: 1, raw: &[9, 3, 1] };
    let request = AttributeRequest::whole(NOTE);
    let shift = MethodDescriptor { class_id: 8, instance_id: CLOCK.instance_id, method_id: 6 };
    let time = Data::OctetString(vec![0x07, 0xEA, 3, 15, 7, 12, 7, 9, 0, 0, 0, 0]);
    vec![
        get_normal(OBJECT_LIST),
        encoded(|out| get::put_normal(out, INVOKE, &profile, Some(&selection))),
        encoded(|out| get::put_next(out, INVOKE, 1)),
        encoded(|out| SetRequest::FirstBlock { invoke: INVOKE, request, block }.encode(out)),
        encoded(|out| {
            let request = AttributeRequest::whole(CLOCK);
            SetRequest::Normal { invoke: INVOKE, request, value: time }.encode(out);
        }),
        encoded(|out| {
            let parameter = Some(Data::Long(900));
            ActionRequest::Normal { invoke: INVOKE, method: shift, parameter }.encode(out);
        }),
        encoded(|out| ReadRequest { variables: vec![VariableAccess::Name(0xFA08)] }.encode(out)),
        encoded(|out| {
            let confirmation = Confirmation::Confirmed;
            let variables = vec![VariableAccess::WriteBlock { last: false, number: 1 }];
            let values = vec![Data::OctetString(vec![1, 2, 3])];
            WriteRequest { confirmation, variables, values }.encode(out);
        }),
        encoded(|out| {
            let data = &[0xC0, 1, 0xC1];
            GeneralBlockTransfer {
                last: false,
                streaming: false,
                window: 3,
                number: 1,
                acknowledged: 0,
                data,
            }
            .encode(out);
        }),
    ]
}

fn spoilt(request: &[u8], seed: &mut Seed) -> Vec<u8> {
    let mut bytes = request.to_vec();
    for _ in 0..=seed.number() % 4 {
        let at = usize::try_from(seed.number()).unwrap_or(0) % bytes.len().max(1);
        let value = seed.number().to_be_bytes()[0];
        match seed.number() % 4 {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.insert(at, value),
            _ => bytes[at] = value,
        }
    }
    bytes
}

#[test]
fn spoilt_requests_do_no_harm() {
    for referencing in [Referencing::LogicalName, Referencing::ShortName] {
        let mut config = config();
        (config.referencing, config.general_block_transfer) = (referencing, Some(3));
        (config.max_pdu, config.profile_rows) = (300, 20);
        let meter = Arc::new(Meter::new(config));
        let mut client = Client::of(Arc::clone(&meter), 16);
        client.associate(Mechanism::Lowest, None).unwrap();
        let mut seed = Seed::new(20_261_103);
        let requests = requests();
        for round in 0..20_000 {
            client.all(&spoilt(&requests[round % requests.len()], &mut seed));
        }
        let mut next = Client::of(meter, 16);
        next.associate(Mechanism::Lowest, None).unwrap();
    }
}

#[test]
fn spoilt_ciphered_requests_do_no_harm() {
    let mut client = Client::new(secured(Protection::None));
    let mut initiate = Vec::new();
    InitiateRequest::new(Conformance::LN_GENERAL_PROPOSAL, 1024).encode(&mut initiate);
    let plain = aarq(ApplicationContext::LogicalNameCiphered, Mechanism::Lowest, None, &initiate);
    let release = encoded(|out| Rlrq { reason: None, user_information: Some(&initiate) }.encode(out));
    let mut seed = Seed::new(7);
    for round in 0..10_000 {
        client.all(&spoilt(if round % 3 == 0 { &release } else { &plain }, &mut seed));
        client.all(&spoilt(&[0xDB, 8, 1, 2, 3, 4, 5, 6, 7, 8, 22, 0x30, 0, 0, 1, 0, 1, 2, 3], &mut seed));
    }
    assert!(!client.all(&plain).is_empty());
}
