//! COSEM values against hostile input: whatever arrives, decoding ends soon, without panic and without much memory.

mod support;

use std::time::{Duration, Instant};

use dlms2mqtt::wire::compact_array::{CompactArray, TypeDescription, decode_compact_buffer};
use dlms2mqtt::wire::data::{BitString, Data, MAX_DEPTH};
use dlms2mqtt::wire::data_type::DataType;
use dlms2mqtt::wire::date_time::{Date, DateTime, Time};
use dlms2mqtt::wire::error::WireErrorKind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::vectors::vectors;

/// The largest APDU of the wrapper.
const LARGEST: usize = 0xFFFF;

/// Decodes; what is accepted must come back from its encoding, and must be justified by the bytes.
fn check(bytes: &[u8]) {
    if let Ok(value) = Data::from_bytes(bytes) {
        assert!(values(&value) <= 4 * bytes.len(), "{} values from {} bytes", values(&value), bytes.len());
        let encoded = value.to_bytes();
        // Compared as bytes: NaN is not equal to itself.
        let again = Data::from_bytes(&encoded).expect("our own encoding").to_bytes();
        assert_eq!(again, encoded);
    }
}

fn values(value: &Data) -> usize {
    1 + value.elements().map_or(0, |elements| elements.iter().map(values).sum())
}

fn valid_vectors() -> Vec<Vec<u8>> {
    vectors("data")
        .iter()
        .filter(|vector| !vector.input("data").is_null())
        .map(support::vectors::Vector::hex)
        .collect()
}

fn within(limit: Duration, what: &str, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    assert!(start.elapsed() < limit, "{what} took {:?}", start.elapsed());
}

#[test]
fn every_truncation_of_every_vector_is_refused() {
    for bytes in valid_vectors() {
        for end in 0..bytes.len() {
            let error = Data::from_bytes(&bytes[..end]).expect_err("cut off");
            assert!(error.offset <= end, "{error} in {end} bytes");
            assert!(matches!(error.kind, WireErrorKind::Truncated | WireErrorKind::Length), "{error}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Data::from_bytes(&longer), Err(WireErrorKind::TrailingBytes.at(bytes.len())));
    }
}

#[test]
fn every_flipped_bit_of_every_vector_is_survived() {
    for mut bytes in valid_vectors() {
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            check(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| [[0x02, 0x01].repeat(depth), vec![0x00]].concat();
    assert!(Data::from_bytes(&nested(MAX_DEPTH)).is_ok());
    let too_deep = WireErrorKind::TooDeep.at(2 * (MAX_DEPTH + 1));
    assert_eq!(Data::from_bytes(&nested(MAX_DEPTH + 1)), Err(too_deep));
    assert_eq!(Data::from_bytes(&nested(8192)), Err(too_deep));

    // A description counts with what is around it.
    let described = |around: usize, inside: usize| {
        [[0x01, 0x01].repeat(around), vec![0x13], [0x01, 0, 1].repeat(inside), vec![0x11, 1, 7]].concat()
    };
    assert!(Data::from_bytes(&described(16, MAX_DEPTH - 17)).is_ok());
    let error = Data::from_bytes(&described(16, MAX_DEPTH - 16)).expect_err("too deep");
    assert_eq!(error.kind, WireErrorKind::TooDeep);
}

#[test]
fn lying_counts_are_refused_where_they_stand() {
    for (bytes, error) in [
        (&[0x01, 0x84, 0xFF, 0xFF, 0xFF, 0xFF][..], WireErrorKind::Length.at(1)),
        (&[0x02, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00], WireErrorKind::Length.at(1)),
        (&[0x09, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00], WireErrorKind::Truncated.at(6)),
        (&[0x04, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00], WireErrorKind::Truncated.at(6)),
        (&[0x13, 0x02, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00], WireErrorKind::Length.at(2)),
        (&[0x13, 0x11, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00], WireErrorKind::Truncated.at(7)),
        (&[0x01, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0x00], WireErrorKind::Length.at(1)),
    ] {
        assert_eq!(Data::from_bytes(bytes), Err(error), "{bytes:02x?}");
    }
}

/// Descriptions that would multiply: nested counts, values without width, wide structures of few bytes.
#[test]
fn hostile_descriptions_cost_no_more_than_they_send() {
    let compact = |description: &[u8], contents: &[u8]| {
        let length = u16::try_from(contents.len()).expect("length").to_be_bytes();
        [&[0x13][..], description, &[0x82], &length, contents].concat()
    };
    let contents = vec![1; LARGEST / 2];
    // A structure of 30000 null-data and one unsigned, over and over.
    let mut wide = vec![0x02, 0x82, 0x75, 0x31];
    wide.extend(std::iter::repeat_n(0x00, 30_000));
    wide.push(0x11);
    let nested_counts = [[0x01, 0xFF, 0xFF].repeat(20), vec![0x00]].concat();
    let zero_width_beside_one = [&[0x02, 0x02][..], &nested_counts, &[0x11]].concat();
    // Saturates the width.
    let huge_width = [[0x01, 0xFF, 0xFF].repeat(20), vec![0x18]].concat();
    within(Duration::from_secs(5), "hostile descriptions", || {
        for (description, kind) in [
            (&wide, WireErrorKind::TooManyElements),
            (&nested_counts, WireErrorKind::Invalid("compact-array of elements without width")),
            (&zero_width_beside_one, WireErrorKind::TooManyElements),
            (&huge_width, WireErrorKind::Truncated),
        ] {
            let bytes = compact(description, &contents);
            assert_eq!(Data::from_bytes(&bytes).map_err(|error| error.kind), Err(kind));
        }
        for description in [&nested_counts, &zero_width_beside_one] {
            let error = decode_compact_buffer(description, &contents).expect_err("too much");
            assert_eq!(error.kind, WireErrorKind::TooManyElements);
        }
        // Many compact arrays in one value: each must be justified by its own bytes.
        let one = compact(&zero_width_beside_one, &[1]);
        let many = [vec![0x01, 0x81, 0xC8], one.repeat(200)].concat();
        check(&many);
    });
}

#[test]
fn the_largest_values_are_quick() {
    let nulls = [vec![0x01, 0x82, 0xFF, 0x00], vec![0x00; 0xFF00]].concat();
    let pairs = [vec![0x01, 0x82, 0x50, 0x00], [0x02, 0x01, 0x00].repeat(0x5000)].concat();
    within(Duration::from_secs(5), "the largest values", || {
        for bytes in [nulls, pairs] {
            assert!(Data::from_bytes(&bytes).is_ok());
            check(&bytes);
        }
    });
}

fn simple_value(data_type: DataType) -> BoxedStrategy<Data> {
    let octets = || vec(any::<u8>(), 0..40);
    match data_type {
        DataType::Boolean => any::<bool>().prop_map(Data::Boolean).boxed(),
        DataType::BitString => vec(any::<bool>(), 0..40)
            .prop_map(|bits| Data::BitString(bits.into_iter().collect::<BitString>()))
            .boxed(),
        DataType::DoubleLong => any::<i32>().prop_map(Data::DoubleLong).boxed(),
        DataType::DoubleLongUnsigned => any::<u32>().prop_map(Data::DoubleLongUnsigned).boxed(),
        DataType::OctetString => octets().prop_map(Data::OctetString).boxed(),
        DataType::VisibleString => octets().prop_map(Data::VisibleString).boxed(),
        DataType::Utf8String => octets().prop_map(Data::Utf8String).boxed(),
        DataType::Bcd => any::<i8>().prop_map(Data::Bcd).boxed(),
        DataType::Integer => any::<i8>().prop_map(Data::Integer).boxed(),
        DataType::Long => any::<i16>().prop_map(Data::Long).boxed(),
        DataType::Unsigned => any::<u8>().prop_map(Data::Unsigned).boxed(),
        DataType::LongUnsigned => any::<u16>().prop_map(Data::LongUnsigned).boxed(),
        DataType::Long64 => any::<i64>().prop_map(Data::Long64).boxed(),
        DataType::Long64Unsigned => any::<u64>().prop_map(Data::Long64Unsigned).boxed(),
        DataType::Enum => any::<u8>().prop_map(Data::Enum).boxed(),
        DataType::Float32 => any::<f32>().prop_map(Data::Float32).boxed(),
        DataType::Float64 => any::<f64>().prop_map(Data::Float64).boxed(),
        DataType::DateTime => any::<[u8; 12]>()
            .prop_map(|octets| Data::DateTime(DateTime::from_bytes(&octets).expect("twelve octets")))
            .boxed(),
        DataType::Date => any::<[u8; 5]>()
            .prop_map(|octets| Data::Date(Date::from_bytes(&octets).expect("five octets")))
            .boxed(),
        DataType::Time => any::<[u8; 4]>()
            .prop_map(|octets| Data::Time(Time::from_bytes(&octets).expect("four octets")))
            .boxed(),
        DataType::DeltaInteger => any::<i8>().prop_map(Data::DeltaInteger).boxed(),
        DataType::DeltaLong => any::<i16>().prop_map(Data::DeltaLong).boxed(),
        DataType::DeltaDoubleLong => any::<i32>().prop_map(Data::DeltaDoubleLong).boxed(),
        DataType::DeltaUnsigned => any::<u8>().prop_map(Data::DeltaUnsigned).boxed(),
        DataType::DeltaLongUnsigned => any::<u16>().prop_map(Data::DeltaLongUnsigned).boxed(),
        DataType::DeltaDoubleLongUnsigned => any::<u32>().prop_map(Data::DeltaDoubleLongUnsigned).boxed(),
        DataType::DontCare => Just(Data::DontCare).boxed(),
        DataType::Null | DataType::Array | DataType::Structure | DataType::CompactArray => {
            Just(Data::Null).boxed()
        }
    }
}

fn simple_type() -> impl Strategy<Value = DataType> {
    proptest::sample::select(DataType::ALL.to_vec())
        .prop_filter("simple", |data_type| TypeDescription::simple(*data_type).is_some())
}

fn description() -> impl Strategy<Value = TypeDescription> {
    let leaf = simple_type().prop_map(|data_type| TypeDescription::simple(data_type).expect("simple"));
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            (0..4u16, inner.clone())
                .prop_map(|(count, element)| TypeDescription::Array { count, element: Box::new(element) }),
            vec(inner, 0..4).prop_map(TypeDescription::Structure),
        ]
    })
}

fn described(description: &TypeDescription) -> BoxedStrategy<Data> {
    match description {
        TypeDescription::Simple(of) => simple_value(of.data_type()),
        TypeDescription::Array { count, element } => {
            vec(described(element), usize::from(*count)).prop_map(Data::Array).boxed()
        }
        TypeDescription::Structure(elements) => {
            elements.iter().map(described).collect::<Vec<_>>().prop_map(Data::Structure).boxed()
        }
    }
}

fn compact_array() -> impl Strategy<Value = Data> {
    description()
        .prop_flat_map(|description| {
            let elements = vec(described(&description), 0..4);
            (Just(description), elements)
        })
        .prop_filter_map("elements with a width", |(description, elements)| {
            CompactArray::new(description, elements).map(Data::CompactArray)
        })
}

fn value() -> impl Strategy<Value = Data> {
    let leaf = prop_oneof![9 => simple_type().prop_flat_map(simple_value), 1 => compact_array()];
    leaf.prop_recursive(5, 48, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Data::Array),
            vec(inner, 0..8).prop_map(Data::Structure),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, rng_seed: RngSeed::Fixed(62056), ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    /// Bytes that are mostly small: tags, counts and lengths that fit each other.
    #[test]
    fn random_tags_are_survived(
        bytes in vec(prop_oneof![8 => 0..0x22u8, 1 => any::<u8>()], 0..300),
        first in prop_oneof![Just(0x01u8), Just(0x02), Just(0x13)],
    ) {
        check(&[&[first], bytes.as_slice()].concat());
    }

    #[test]
    fn random_compact_buffers_are_survived(
        template in vec(0..0x22u8, 0..40),
        buffer in vec(any::<u8>(), 0..100),
    ) {
        if let Ok(value) = decode_compact_buffer(&template, &buffer) {
            prop_assert!(values(&value) <= 4 * (template.len() + buffer.len()));
        }
    }

    #[test]
    fn damaged_values_are_survived(
        value in value(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = value.to_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
        check(&bytes[..length.index(bytes.len())]);
    }

    #[test]
    fn values_lead_back(value in value()) {
        let bytes = value.to_bytes();
        match Data::from_bytes(&bytes) {
            Ok(decoded) => prop_assert_eq!(decoded, value),
            // Elements made of values without width may be more than their bytes justify.
            Err(error) => prop_assert_eq!(error.kind, WireErrorKind::TooManyElements),
        }
    }

    #[test]
    fn compact_buffers_lead_back(
        (description, value) in description().prop_flat_map(|description| {
            let value = described(&description);
            (Just(description), value)
        })
    ) {
        // The contents of a compact array of one element are a compact buffer.
        let Some(array) = CompactArray::new(description.clone(), vec![value.clone()]) else { return Ok(()) };
        let bytes = Data::CompactArray(array).to_bytes();
        let template = description.to_bytes();
        let after = &bytes[1 + template.len()..];
        let header = if after[0] < 0x80 { 1 } else { 1 + usize::from(after[0] & 0x7F) };
        match decode_compact_buffer(&template, &after[header..]) {
            Ok(decoded) => prop_assert_eq!(decoded, value),
            Err(error) => prop_assert_eq!(error.kind, WireErrorKind::TooManyElements),
        }
    }

    #[test]
    fn date_time_octets_are_survived(octets in any::<[u8; 12]>()) {
        let value = DateTime::from_bytes(&octets).expect("twelve octets");
        prop_assert_eq!(value.to_bytes(), octets);
        let text = value.to_string();
        if value.is_valid() {
            prop_assert_eq!(text.parse::<DateTime>().map(|read| read.to_string()), Ok(text));
        }
        prop_assert!(!value.is_complete() || value.local_millis().is_some());
    }

    #[test]
    fn instants_lead_back(hundredths in -6_000_000_000_000i64..200_000_000_000_000, offset in -840i16..=840) {
        use dlms2mqtt::wire::date_time::DeviationSense::Standard;
        let millis = hundredths * 10;
        let value = DateTime::from_utc_millis(millis, offset).expect("a year in range");
        prop_assert_eq!(value.utc_millis(Standard), Some(millis));
        prop_assert_eq!(value.utc_offset_minutes(Standard), Some(offset));
        prop_assert_eq!(value.date.with_weekday(), value.date);
        if let Ok(read) = value.to_string().parse::<DateTime>() {
            prop_assert_eq!(read.utc_millis(Standard), Some(millis));
        } else {
            prop_assert!(value.date.year > 9999);
        }
    }

    #[test]
    fn texts_are_survived(text in "[-0-9*TZ:+./a-z_&]{0,30}") {
        let _ = text.parse::<DateTime>();
        let _ = text.parse::<Date>();
        let _ = text.parse::<Time>();
        let _ = text.parse::<dlms2mqtt::wire::obis::Obis>();
    }

    #[test]
    fn obis_codes_lead_back(octets in any::<[u8; 6]>()) {
        let code = dlms2mqtt::wire::obis::Obis(octets);
        prop_assert_eq!(code.to_string().parse(), Ok(code));
        prop_assert_eq!(code.dotted().to_string().parse(), Ok(code));
        prop_assert_eq!(support::vectors::to_hex(&octets).parse(), Ok(code));
    }
}
