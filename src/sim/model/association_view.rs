//! What the association object shows: the objects with their access rights, and what was negotiated.

use super::attribute_count;
use super::object::{AssociationValue, Audience, Object};
use crate::cosem::catalogue::ClassId;
use crate::wire::acse::{ApplicationContext, Mechanism, Referencing};
use crate::wire::data::{BitString, Data};
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::initiate::DLMS_VERSION;

/// Who looks at the model: one association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The client's SAP.
    pub client: u16,
    /// The server's SAP.
    pub server: u16,
    /// Which objects it may see.
    pub audience: Audience,
    /// Referencing and ciphering.
    pub context: ApplicationContext,
    /// Authentication.
    pub mechanism: Mechanism,
    /// What was negotiated.
    pub conformance: Conformance,
    /// Longest APDU that the server takes, bytes.
    pub max_receive: u16,
    /// Longest APDU that the client takes, bytes.
    pub max_send: u16,
}

impl Viewer {
    /// Whether objects are addressed by short names.
    #[must_use]
    pub fn has_short_names(&self) -> bool {
        self.context.referencing() == Referencing::ShortName
    }

    /// An attribute of the association object.
    pub(super) fn value(&self, value: AssociationValue, objects: &[Object]) -> Data {
        match value {
            AssociationValue::ObjectList => self.object_list(objects),
            AssociationValue::AccessRights => self.rights_by_base_name(objects),
            AssociationValue::Partners => Data::Structure(vec![
                Data::Integer(i8::try_from(self.client).unwrap_or(i8::MAX)),
                Data::LongUnsigned(self.server),
            ]),
            AssociationValue::ContextName => object_identifier(1, self.context.id()),
            AssociationValue::MechanismName => object_identifier(2, self.mechanism.id()),
            AssociationValue::Status => Data::Enum(2),
            AssociationValue::ContextInfo => Data::Structure(vec![
                BitString::new(24, &self.conformance.to_bytes()).map_or(Data::Null, Data::BitString),
                Data::LongUnsigned(self.max_receive),
                Data::LongUnsigned(self.max_send),
                Data::Unsigned(DLMS_VERSION),
                Data::Integer(0),
                Data::OctetString(Vec::new()),
            ]),
        }
    }

    fn visible<'a>(&self, objects: &'a [Object]) -> impl Iterator<Item = &'a Object> + use<'a> {
        let audience = self.audience;
        objects
            .iter()
            .filter(move |object| audience == Audience::Client || object.audience == Audience::Everyone)
    }

    fn object_list(&self, objects: &[Object]) -> Data {
        let short = self.has_short_names();
        let entry = |object: &Object| {
            let name = Data::OctetString(object.logical_name.0.to_vec());
            let class = Data::LongUnsigned(object.class.0);
            let version = Data::Unsigned(object.version);
            Data::Structure(if short {
                vec![Data::Long(object.base_name.cast_signed()), class, version, name]
            } else {
                vec![class, version, name, Data::Structure(rights(object))]
            })
        };
        Data::Array(self.visible(objects).map(entry).collect())
    }

    fn rights_by_base_name(&self, objects: &[Object]) -> Data {
        let entry = |object: &Object| {
            let mut fields = vec![Data::Long(object.base_name.cast_signed())];
            fields.extend(rights(object));
            Data::Structure(fields)
        };
        Data::Array(self.visible(objects).map(entry).collect())
    }
}

/// The two lists of access_rights.
fn rights(object: &Object) -> Vec<Data> {
    let attribute = |id: i8| {
        let mode = match (id, object.attribute(id)) {
            (1, _) => 1,
            (_, Some(attribute)) => attribute.access.mode(),
            (_, None) => 0,
        };
        let selectors = match (object.class, id) {
            (ClassId::PROFILE_GENERIC, 2) => Data::Array(vec![Data::Integer(1), Data::Integer(2)]),
            _ => Data::Null,
        };
        Data::Structure(vec![Data::Integer(id), Data::Enum(mode), selectors])
    };
    let method = |&id: &i8| Data::Structure(vec![Data::Integer(id), Data::Enum(1)]);
    vec![
        Data::Array((1..=attribute_count(object)).map(attribute).collect()),
        Data::Array(object.methods.iter().map(method).collect()),
    ]
}

/// 2.16.756.5.8.`arc`.`id` in the Blue Book's structure.
fn object_identifier(arc: u8, id: u8) -> Data {
    Data::Structure(vec![
        Data::Unsigned(2),
        Data::Unsigned(16),
        Data::LongUnsigned(756),
        Data::Unsigned(5),
        Data::Unsigned(8),
        Data::Unsigned(arc),
        Data::Unsigned(id),
    ])
}
