//! What a service is about: descriptors of attributes and methods, with the names of the object model.

use super::data::{self, obis_text};
use super::node::Node;
use super::walker::{Step, Walker};
use crate::cosem::catalogue::ClassId;
use crate::cosem::catalogue::shape::Shape;
use crate::wire::cursor::Reader;
use crate::wire::obis::Obis;

/// An attribute or a method, and what is known of its value.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// For people: `clock 0-0:1.0.0*255 attribute 2 time`.
    pub(super) text: String,
    /// Form of the value.
    pub(super) shape: Shape,
    pub(super) secrecy: Secrecy,
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    Open,
    /// A password or HLS secret.
    Secret,
}

impl Subject {
    /// Anything.
    pub(super) fn unknown() -> Self {
        Self { text: String::new(), shape: Shape::Any, secrecy: Secrecy::Open }
    }
}

#[derive(Clone, Copy)]
enum Member {
    Attribute,
    Method,
}

/// A cosem-attribute-descriptor.
pub(super) fn attribute(walker: &mut Walker<'_>) -> Step<(ClassId, Subject)> {
    descriptor(walker, "cosem-attribute-descriptor", Member::Attribute)
}

/// A cosem-method-descriptor.
pub(super) fn method(walker: &mut Walker<'_>) -> Step<Subject> {
    descriptor(walker, "cosem-method-descriptor", Member::Method).map(|(_, subject)| subject)
}

/// A cosem-attribute-descriptor and its selective access, where there is one.
pub(super) fn attribute_with_selection(walker: &mut Walker<'_>) -> Step<Subject> {
    let (class, subject) = attribute(walker)?;
    if walker.flag("access-selection present")? {
        return selection(walker, class, subject);
    }
    Ok(subject)
}

/// A selective-access-descriptor. A part of an attribute has the form of the whole in profiles alone.
pub(super) fn selection(walker: &mut Walker<'_>, class: ClassId, subject: Subject) -> Step<Subject> {
    walker.group("access-selection", |walker| {
        let shape = match (class, walker.peek()) {
            (ClassId::PROFILE_GENERIC, Some(1)) => RANGE,
            (ClassId::PROFILE_GENERIC, Some(2)) => ENTRIES,
            _ => Shape::Any,
        };
        walker.code("access-selector", |selector| match (class, selector) {
            (ClassId::PROFILE_GENERIC, 1) => "range_descriptor".to_owned(),
            (ClassId::PROFILE_GENERIC, 2) => "entry_descriptor".to_owned(),
            _ => format!("selector {selector}"),
        })?;
        data::data(walker, "access-parameters", shape)
    })?;
    Ok(subject)
}

const RANGE: Shape = Shape::Structure(&[
    (
        "restricting_object",
        Shape::Structure(&[
            ("class_id", Shape::Number),
            ("logical_name", Shape::LogicalName),
            ("attribute_index", Shape::Number),
            ("data_index", Shape::Number),
        ]),
    ),
    ("from_value", Shape::Any),
    ("to_value", Shape::Any),
    ("selected_values", Shape::Any),
]);

const ENTRIES: Shape = Shape::Structure(&[
    ("from_entry", Shape::Number),
    ("to_entry", Shape::Number),
    ("from_selected_value", Shape::Number),
    ("to_selected_value", Shape::Number),
]);

fn descriptor(walker: &mut Walker<'_>, name: &'static str, member: Member) -> Step<(ClassId, Subject)> {
    let (class, subject) = walker.group(name, |walker| {
        let show = |node: Node, &class: &u16| node.with_value(class).with_text(ClassId(class).to_string());
        let class = ClassId(walker.field("class-id", Reader::u16, show)?);
        let show = |node: Node, groups: &[u8; 6]| node.with_hex(groups).with_text(obis_text(Obis(*groups)));
        let obis = Obis(walker.field("instance-id", Reader::array, show)?);
        let (field, kind) = match member {
            Member::Attribute => ("attribute-id", "attribute"),
            Member::Method => ("method-id", "method"),
        };
        let show = |node: Node, &id: &i8| node.with_value(id).with_text(member_name(class, member, id));
        let id = walker.field(field, Reader::i8, show)?;
        let text = format!("{class} {obis} {kind} {id} {}", member_name(class, member, id));
        let shape = match member {
            Member::Attribute => class.attribute(None, id, None).map_or(Shape::Any, |known| known.shape),
            Member::Method => Shape::Any,
        };
        Ok((class, Subject { text, shape, secrecy: secrecy(class, member, id) }))
    })?;
    walker.explain(subject.text.clone());
    Ok((class, subject))
}

fn member_name(class: ClassId, member: Member, id: i8) -> String {
    match member {
        Member::Attribute if id == 0 => "all attributes".to_owned(),
        Member::Attribute => class.attribute_name(None, id),
        Member::Method => class
            .class()
            .and_then(|class| class.methods.iter().find(|method| method.id == id))
            .map_or_else(|| format!("method_{id}"), |method| method.name.to_owned()),
    }
}

/// The secret of an association: its attribute, and the method that changes it.
const fn secrecy(class: ClassId, member: Member, id: i8) -> Secrecy {
    match (class, member, id) {
        (ClassId::ASSOCIATION_LN, Member::Attribute, 7) | (ClassId::ASSOCIATION_LN, Member::Method, 2) => {
            Secrecy::Secret
        }
        _ => Secrecy::Open,
    }
}
