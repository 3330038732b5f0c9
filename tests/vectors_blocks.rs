//! Block transfers against the vectors: every message both ways, and what its blocks hold together.

mod support;

use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::xdlms::DataAccessResult;
use dlms2mqtt::wire::xdlms::action::{ActionOutcome, ActionRequest, ActionResponse};
use dlms2mqtt::wire::xdlms::gbt::GeneralBlockTransfer;
use dlms2mqtt::wire::xdlms::get::{GetRequest, GetResponse, decode_list_content, put_list_content};
use dlms2mqtt::wire::xdlms::set::{SetRequest, SetResponse};
use dlms2mqtt::wire::xdlms::sn::{
    ReadRequest, ReadResponse, ReadResult, VariableAccess, decode_read_content, put_read_content,
};
use support::apdu::Apdu;
use support::vectors::{Sender, Vector, data, to_hex, vectors};

/// The messages of a vector; each is written again as it was read.
struct Exchange {
    name: String,
    messages: Vec<(Sender, Vec<u8>)>,
}

impl Exchange {
    fn of(vector: &Vector) -> Self {
        Self { name: vector.name.clone(), messages: vector.exchange() }
    }

    fn apdus(&self) -> impl Iterator<Item = (Sender, Apdu<'_>)> {
        self.messages.iter().map(|(sender, bytes)| {
            let apdu = Apdu::decode(bytes).unwrap_or_else(|error| panic!("{}: {error}", self.name));
            assert_eq!(to_hex(&apdu.encode()), to_hex(bytes), "{}", self.name);
            (*sender, apdu)
        })
    }
}

fn transfer(name: &str) -> (Vector, Exchange) {
    let vector = vectors("blocks").into_iter().find(|vector| vector.name == name).expect(name);
    let exchange = Exchange::of(&vector);
    (vector, exchange)
}

fn concatenated(vector: &Vector) -> &str {
    vector.expected("concatenated").as_str().expect("concatenated")
}

#[test]
fn every_vector_is_looked_at() {
    let names: Vec<_> = vectors("blocks").into_iter().map(|vector| vector.name).collect();
    assert_eq!(
        names,
        [
            "get-block-profile",
            "get-block-octets",
            "get-list-block",
            "get-block-aborted",
            "get-block-out-of-order",
            "set-block",
            "action-block",
            "sn-read-block",
            "gbt-no-streaming"
        ]
    );
}

/// The blocks of a GET in the order received, and how the transfer ended.
fn get_blocks(exchange: &Exchange) -> (Vec<u8>, Vec<u32>, Option<DataAccessResult>) {
    let (mut raw, mut numbers, mut refusal) = (Vec::new(), Vec::new(), None);
    let mut ended = false;
    for (_, apdu) in exchange.apdus() {
        assert!(!ended, "{}: nothing follows the last block", exchange.name);
        match apdu {
            Apdu::GetRequest(GetRequest::Next { block, .. }) => {
                assert_eq!(numbers.last(), Some(&block), "the block just received");
            }
            Apdu::GetRequest(_) => assert!(numbers.is_empty()),
            Apdu::GetResponse(GetResponse::WithDataBlock { last, block, result, .. }) => {
                numbers.push(block);
                ended = last;
                match result {
                    Ok(bytes) => raw.extend_from_slice(bytes),
                    Err(result) => refusal = Some(result),
                }
            }
            other => panic!("{other:?}"),
        }
    }
    (raw, numbers, refusal)
}

#[test]
fn get_of_one_attribute() {
    for (name, blocks) in [("get-block-profile", 3), ("get-block-octets", 5)] {
        let (vector, exchange) = transfer(name);
        let (raw, numbers, refusal) = get_blocks(&exchange);
        assert_eq!((numbers, refusal), ((1..=blocks).collect(), None));
        assert_eq!(to_hex(&raw), concatenated(&vector));
        assert_eq!(Data::from_bytes(&raw), Ok(data(vector.expected("data"))));
    }
}

#[test]
fn get_with_list() {
    let (vector, exchange) = transfer("get-list-block");
    let Some((_, Apdu::GetRequest(GetRequest::WithList { requests, .. }))) = exchange.apdus().next() else {
        panic!("request with list")
    };
    let (raw, numbers, _) = get_blocks(&exchange);
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(to_hex(&raw), concatenated(&vector));
    let results = decode_list_content(&raw).expect("list content");
    assert_eq!(results.len(), requests.len());
    assert_eq!(results[1], Ok(Data::DoubleLongUnsigned(1)));
    let mut out = Vec::new();
    put_list_content(&mut out, &results);
    assert_eq!(out, raw);
}

#[test]
fn get_that_fails() {
    let (vector, exchange) = transfer("get-block-aborted");
    let (_, numbers, refusal) = get_blocks(&exchange);
    assert_eq!((numbers, refusal), (vec![1, 2], Some(DataAccessResult::LongGetAborted)));
    assert_eq!(vector.expected("error"), DataAccessResult::LongGetAborted.code());
    let (_, exchange) = transfer("get-block-out-of-order");
    assert_eq!(get_blocks(&exchange).1, [1, 3], "for the session to refuse");
}

#[test]
fn set() {
    let (vector, exchange) = transfer("set-block");
    let (mut raw, mut sent, mut acknowledged) = (Vec::new(), Vec::new(), Vec::new());
    for (_, apdu) in exchange.apdus() {
        match apdu {
            Apdu::SetRequest(SetRequest::FirstBlock { block, .. } | SetRequest::Block { block, .. }) => {
                raw.extend_from_slice(block.raw);
                sent.push((block.number, block.last));
            }
            Apdu::SetResponse(SetResponse::Block { block, .. }) => acknowledged.push((block, None)),
            Apdu::SetResponse(SetResponse::LastBlock { result, block, .. }) => {
                acknowledged.push((block, Some(result)));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent, [(1, false), (2, false), (3, true)]);
    assert_eq!(acknowledged, [(1, None), (2, None), (3, Some(DataAccessResult::Success))]);
    assert_eq!(Data::from_bytes(&raw), Ok(data(vector.expected("data"))));
    assert_eq!(vector.expected("result"), 0);
}

#[test]
fn action() {
    let (vector, exchange) = transfer("action-block");
    let (mut raw, mut sent, mut acknowledged) = (Vec::new(), Vec::new(), Vec::new());
    let mut outcomes = Vec::new();
    for (_, apdu) in exchange.apdus() {
        match apdu {
            Apdu::ActionRequest(
                ActionRequest::FirstBlock { block, .. } | ActionRequest::Block { block, .. },
            ) => {
                raw.extend_from_slice(block.raw);
                sent.push((block.number, block.last));
            }
            Apdu::ActionResponse(ActionResponse::NextBlock { block, .. }) => acknowledged.push(block),
            Apdu::ActionResponse(ActionResponse::Normal { outcome, .. }) => outcomes.push(outcome),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent, [(1, false), (2, false), (3, true)]);
    assert_eq!(acknowledged, [1, 2]);
    assert_eq!(outcomes, [ActionOutcome::plain(DataAccessResult::Success)]);
    assert_eq!(Data::from_bytes(&raw), Ok(data(vector.expected("parameter"))));
    assert!(vector.expected("return_value").is_null());
}

#[test]
fn short_name_read() {
    let (vector, exchange) = transfer("sn-read-block");
    let (mut raw, mut numbers) = (Vec::new(), Vec::new());
    for (_, apdu) in exchange.apdus() {
        match apdu {
            Apdu::ReadRequest(ReadRequest { variables }) => match variables[..] {
                [VariableAccess::Name(_)] => assert!(numbers.is_empty()),
                [VariableAccess::BlockNumber(number)] => assert_eq!(numbers.last(), Some(&number)),
                _ => panic!("{variables:?}"),
            },
            Apdu::ReadResponse(ReadResponse { results }) => match results[..] {
                [ReadResult::Block(block)] => {
                    raw.extend_from_slice(block.raw);
                    numbers.push(block.number);
                    assert_eq!(block.last, block.number == 3);
                }
                _ => panic!("{results:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(to_hex(&raw), concatenated(&vector));
    let results = decode_read_content(&raw).expect("content");
    let [ReadResult::Data(Data::OctetString(octets))] = &results[..] else { panic!("{results:?}") };
    assert_eq!(octets.len(), 150);
    let mut out = Vec::new();
    put_read_content(&mut out, &results);
    assert_eq!(out, raw);
}

#[test]
fn general_block_transfer() {
    let (vector, exchange) = transfer("gbt-no-streaming");
    let (mut raw, mut numbers) = (Vec::new(), Vec::new());
    for (sender, apdu) in exchange.apdus() {
        match (sender, apdu) {
            (Sender::Client, Apdu::GetRequest(_)) => assert!(numbers.is_empty()),
            (Sender::Client, Apdu::GeneralBlockTransfer(block)) => {
                let number = *numbers.last().expect("a block was received");
                let acknowledgement = GeneralBlockTransfer {
                    last: true,
                    streaming: false,
                    window: 1,
                    number,
                    acknowledged: number,
                    data: &[],
                };
                assert_eq!(block, acknowledgement);
            }
            (Sender::Server, Apdu::GeneralBlockTransfer(block)) => {
                raw.extend_from_slice(block.data);
                numbers.push(block.number);
                assert_eq!((block.last, block.streaming), (block.number == 3, false));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(to_hex(&raw), concatenated(&vector));
    let Ok(Apdu::GetResponse(GetResponse::Normal { result: Ok(Data::OctetString(octets)), .. })) =
        Apdu::decode(&raw)
    else {
        panic!("the blocks hold a get-response")
    };
    assert_eq!(octets.len(), 260);
}
