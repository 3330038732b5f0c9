//! Reads and writes by short names, and their blocks.

use super::*;
use crate::wire::xdlms::sn::{
    Confirmation, ReadBlock, ReadResponse, ReadResult, WriteRequest, WriteResponse, WriteResult,
    decode_read_content,
};

fn short(max_pdu: u16) -> Client {
    let mut config = config();
    config.referencing = Referencing::ShortName;
    config.max_pdu = max_pdu;
    Client::open(config)
}

/// Base names by logical name, as the object list tells them.
fn base_name(client: &mut Client, name: Obis) -> u16 {
    let answer = client.read(vec![VariableAccess::Name(0xFA08)]);
    let ReadResponse { results } = ReadResponse::decode(&answer).unwrap();
    let [ReadResult::Data(list)] = results.as_slice() else { panic!("{results:?}") };
    let octets = Data::OctetString(name.0.to_vec());
    list.elements()
        .unwrap()
        .iter()
        .find_map(|entry| match entry.elements().unwrap() {
            [Data::Long(base), _, _, found] if *found == octets => Some(base.cast_unsigned()),
            _ => None,
        })
        .unwrap()
}

#[test]
fn short_names() {
    let mut client = short(u16::MAX);
    let energy = base_name(&mut client, ENERGY.instance_id);
    let breaker = base_name(&mut client, Obis::new(0, 0, 96, 3, 10, 255));
    let profile = base_name(&mut client, Obis::new(1, 0, 99, 1, 0, 255));
    let selection = Data::Structure(vec![
        Data::DoubleLongUnsigned(1),
        Data::DoubleLongUnsigned(2),
        Data::LongUnsigned(1),
        Data::LongUnsigned(0),
    ]);
    let answer = client.read(vec![
        VariableAccess::Name(energy),
        VariableAccess::Name(energy + 8),
        VariableAccess::Name(energy + 4),
        VariableAccess::Parameterised { name: profile + 8, selector: 2, parameter: selection },
        VariableAccess::Parameterised { name: breaker + 0x20, selector: 0, parameter: Data::Integer(0) },
        VariableAccess::Name(breaker + 8),
    ]);
    let ReadResponse { results } = ReadResponse::decode(&answer).unwrap();
    let [name, value, nothing, rows, method, state] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(*name, ReadResult::Data(Data::OctetString(ENERGY.instance_id.0.to_vec())));
    assert!(matches!(value, ReadResult::Data(Data::DoubleLongUnsigned(_))));
    assert_eq!(*nothing, ReadResult::Error(DataAccessResult::ObjectUndefined));
    assert!(matches!(rows, ReadResult::Data(Data::Array(rows)) if rows.len() == 2));
    assert_eq!(*method, ReadResult::Data(Data::Null));
    assert_eq!(*state, ReadResult::Data(Data::Boolean(false)));

    let note = base_name(&mut client, NOTE.instance_id) + 8;
    let text = Data::OctetString(b"cellar".to_vec());
    let write = |confirmation, names: &[u16]| WriteRequest {
        confirmation,
        variables: names.iter().map(|&name| VariableAccess::Name(name)).collect(),
        values: vec![text.clone(); names.len()],
    };
    let confirmed = write(Confirmation::Confirmed, &[note, energy + 8]);
    let answer = client.ask(&encoded(|out| confirmed.encode(out)));
    let denied = WriteResult::Error(DataAccessResult::ReadWriteDenied);
    assert_eq!(WriteResponse::decode(&answer).unwrap().results, [WriteResult::Success, denied]);
    let unconfirmed = write(Confirmation::Unconfirmed, &[note]);
    assert!(client.all(&encoded(|out| unconfirmed.encode(out))).is_empty());
    let answer = client.read(vec![VariableAccess::Name(note)]);
    assert_eq!(ReadResponse::decode(&answer).unwrap().results, [ReadResult::Data(text)]);
}

#[test]
fn blocks_of_short_names() {
    let mut client = short(100);
    let mut raw = Vec::new();
    let mut apdu = client.read(vec![VariableAccess::Name(0xFA08)]);
    for expected in 1.. {
        assert!(apdu.len() <= 100);
        let ReadResponse { results } = ReadResponse::decode(&apdu).unwrap();
        let [ReadResult::Block(ReadBlock { last, number, raw: block })] = results.as_slice() else {
            panic!("{results:?}");
        };
        assert_eq!(*number, expected);
        raw.extend_from_slice(block);
        if *last {
            break;
        }
        apdu = client.read(vec![VariableAccess::BlockNumber(expected)]);
    }
    let results = decode_read_content(&raw).unwrap();
    assert!(matches!(results.as_slice(), [ReadResult::Data(Data::Array(list))] if list.len() > 30));
    let answer = client.read(vec![VariableAccess::BlockNumber(1)]);
    let refusal = ReadResult::Error(DataAccessResult::NoLongGetInProgress);
    assert_eq!(ReadResponse::decode(&answer).unwrap().results, [refusal]);

    let request = encoded(|out| ReadRequest { variables: vec![VariableAccess::Name(0xFA00)] }.encode(out));
    let (first, second) = request[1..].split_at(2);
    let block = |last, number, raw| vec![VariableAccess::ReadBlock(ReadBlock { last, number, raw })];
    let answer = client.read(block(false, 1, first));
    assert_eq!(ReadResponse::decode(&answer).unwrap().results, [ReadResult::BlockNumber(1)]);
    let answer = client.read(block(true, 2, second));
    let name = Data::OctetString(OBJECT_LIST.instance_id.0.to_vec());
    assert_eq!(ReadResponse::decode(&answer).unwrap().results, [ReadResult::Data(name)]);

    let write = WriteRequest {
        confirmation: Confirmation::Confirmed,
        variables: vec![VariableAccess::Name(0xFA00)],
        values: vec![Data::Null],
    };
    let whole = encoded(|out| write.encode(out));
    let (first, second) = whole[1..].split_at(3);
    let mut part = |last, number, raw: &[u8]| {
        let request = WriteRequest {
            confirmation: Confirmation::Confirmed,
            variables: vec![VariableAccess::WriteBlock { last, number }],
            values: vec![Data::OctetString(raw.to_vec())],
        };
        let answer = client.ask(&encoded(|out| request.encode(out)));
        WriteResponse::decode(&answer).unwrap().results
    };
    assert_eq!(part(false, 1, first), [WriteResult::BlockNumber(1)]);
    assert_eq!(part(true, 2, second), [WriteResult::Error(DataAccessResult::ReadWriteDenied)]);
}
