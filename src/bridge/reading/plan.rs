//! What to read of an object: from what a configured value asks for to attributes and their parts in the payload.

use crate::cosem::catalogue::ClassId;
use crate::cosem::catalogue::shape::Shape;
use crate::cosem::object_list::AccessRights;

/// What is asked of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection<'a> {
    /// What the class is usually read for.
    Usual,
    /// One attribute; its value alone.
    One(i8),
    /// These attributes; an object keyed by their names.
    Many(&'a [i8]),
    /// Every attribute from 2 on; an object keyed by their names.
    All,
}

/// What to read of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingPlan {
    /// What the payload is made of.
    pub form: Form,
    /// The attributes to read each time, in order.
    pub attributes: Vec<i8>,
    /// The attribute with the scaler_unit of what is read, if a number of it needs one. It changes with the meter's
    /// configuration only, so that it can be kept for as long as an association lives.
    pub scaler_unit: Option<i8>,
    /// Whether there may be more attributes than are listed.
    pub extent: Extent,
}

/// What a payload is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value of one attribute, with its status and time where the object has them and they are read.
    Single {
        /// The attribute that is the value.
        value: i8,
        /// The attribute that is its status.
        status: Option<i8>,
        /// The attribute that is its time.
        capture_time: Option<i8>,
    },
    /// An object with a member for each attribute.
    Members,
    /// Rows of a profile. The attributes listed describe the buffer; how it is read is the reader's business.
    Rows,
    /// The elements of a compact buffer (2), by its capture_objects (3) and template_description (5).
    CompactBuffer,
}

/// Whether the attributes of an object are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// They are.
    Listed,
    /// Neither class nor access rights are known: read on behind the last one until the meter refuses, and leave the
    /// refused one out.
    Open,
}

/// Plans the reading of an object of this class.
///
/// `version` and `access` come from the object list of the association, where it was read.
#[must_use]
pub fn plan(
    class: ClassId,
    version: Option<u8>,
    selection: Selection<'_>,
    access: Option<&AccessRights>,
) -> ReadingPlan {
    let allowed = |id: i8| access.is_none_or(|access| access.can_read(id)).then_some(id);
    let form = match (selection, class) {
        (Selection::Usual | Selection::One(2), ClassId::PROFILE_GENERIC) => Form::Rows,
        (Selection::Usual, ClassId::COMPACT_DATA) => Form::CompactBuffer,
        (Selection::Usual, ClassId::DATA | ClassId::REGISTER | ClassId::CLOCK) => single(2),
        (Selection::Usual, ClassId::EXTENDED_REGISTER) => {
            Form::Single { value: 2, status: allowed(4), capture_time: allowed(5) }
        }
        (Selection::Usual, ClassId::DEMAND_REGISTER) => {
            Form::Single { value: 2, status: allowed(5), capture_time: allowed(6) }
        }
        (Selection::One(id), _) => single(id),
        (Selection::Usual | Selection::Many(_) | Selection::All, _) => Form::Members,
    };
    let (attributes, extent) = match form {
        Form::Single { value, status, capture_time } => {
            ([Some(value), status, capture_time].into_iter().flatten().collect(), Extent::Listed)
        }
        Form::Rows => (vec![3, 4, 5, 6, 7], Extent::Listed),
        Form::CompactBuffer => (vec![2, 3, 5], Extent::Listed),
        Form::Members => match selection {
            Selection::Many(listed) => (listed.to_vec(), Extent::Listed),
            _ => all(class, version, access),
        },
    };
    let scaler_unit = class.scaler_unit_attribute().filter(|_| {
        attributes.iter().any(|&id| {
            class.attribute(version, id, None).is_some_and(|known| matches!(known.shape, Shape::Scaled))
        })
    });
    ReadingPlan { form, attributes, scaler_unit, extent }
}

const fn single(value: i8) -> Form {
    Form::Single { value, status: None, capture_time: None }
}

/// Every attribute from 2 on: those that can be read by the access rights, else those of the catalogue.
fn all(class: ClassId, version: Option<u8>, access: Option<&AccessRights>) -> (Vec<i8>, Extent) {
    if let Some(access) = access {
        let mut ids: Vec<i8> = access
            .attributes
            .iter()
            .filter(|attribute| attribute.readable && attribute.id >= 2)
            .map(|attribute| attribute.id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        return (ids, Extent::Listed);
    }
    match class.class().filter(|class| !class.attributes.is_empty()) {
        Some(class) => (class.attributes(version).map(|attribute| attribute.id).collect(), Extent::Listed),
        None => (vec![2], Extent::Open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosem::object_list::AttributeAccess;

    fn usual(class: u16) -> ReadingPlan {
        plan(ClassId(class), None, Selection::Usual, None)
    }

    fn access(rights: &[(i8, bool)]) -> AccessRights {
        let attributes = rights
            .iter()
            .map(|&(id, readable)| AttributeAccess {
                id,
                mode: 0,
                readable,
                writable: false,
                selectors: vec![],
            })
            .collect();
        AccessRights { attributes, methods: vec![] }
    }

    #[test]
    fn usual_readings() {
        for (class, attributes, scaler_unit) in [
            (1, vec![2], None),
            (3, vec![2], Some(3)),
            (4, vec![2, 4, 5], Some(3)),
            (5, vec![2, 5, 6], Some(4)),
            (7, vec![3, 4, 5, 6, 7], None),
            (8, vec![2], None),
            (62, vec![2, 3, 5], None),
            (70, vec![2, 3, 4], None),
            (41, vec![2, 3, 4, 5, 6], None),
        ] {
            let plan = usual(class);
            assert_eq!((plan.attributes, plan.scaler_unit), (attributes, scaler_unit), "class {class}");
            assert_eq!(plan.extent, Extent::Listed);
        }
        assert_eq!(usual(7).form, Form::Rows);
        assert_eq!(usual(62).form, Form::CompactBuffer);
        assert_eq!(usual(8).form, single(2));
        assert_eq!(usual(5).form, Form::Single { value: 2, status: Some(5), capture_time: Some(6) });
        assert_eq!(usual(70).form, Form::Members);
    }

    #[test]
    fn named_attributes() {
        let one = |class, id| plan(ClassId(class), None, Selection::One(id), None);
        assert_eq!(one(5, 3).form, single(3));
        assert_eq!((one(5, 3).attributes, one(5, 3).scaler_unit), (vec![3], Some(4)));
        assert_eq!(one(5, 6).scaler_unit, None);
        assert_eq!(one(7, 2).form, Form::Rows);
        assert_eq!(one(7, 7).form, single(7));
        assert_eq!(one(62, 2).form, single(2), "as it is");
        let many = plan(ClassId(4), None, Selection::Many(&[2, 5, 99]), None);
        assert_eq!((many.form, many.attributes), (Form::Members, vec![2, 5, 99]));
        assert_eq!(many.scaler_unit, Some(3));
    }

    #[test]
    fn versions_and_access_rights_decide_what_all_is() {
        let all = |class, version, access: Option<&AccessRights>| {
            let plan = plan(ClassId(class), version, Selection::All, access);
            (plan.attributes, plan.extent)
        };
        assert_eq!(all(40, Some(0), None), ((2..=7).collect(), Extent::Listed));
        assert_eq!(all(40, Some(2), None), ((2..=13).collect(), Extent::Listed));
        assert_eq!(all(47, None, None), ((2..=8).collect(), Extent::Listed), "each number once");
        let rights = access(&[(1, true), (4, true), (2, true), (3, false), (9, true)]);
        assert_eq!(all(3, Some(0), Some(&rights)), (vec![2, 4, 9], Extent::Listed));
        assert_eq!(all(9000, None, Some(&rights)), (vec![2, 4, 9], Extent::Listed));
        assert_eq!(all(9000, None, None), (vec![2], Extent::Open));
        assert_eq!(all(100, None, None), (vec![2], Extent::Open), "only the name of the class is known");
        let rights = access(&[(2, true), (4, false), (5, true)]);
        let extended = plan(ClassId(4), Some(0), Selection::Usual, Some(&rights));
        assert_eq!(extended.form, Form::Single { value: 2, status: None, capture_time: Some(5) });
        assert_eq!(extended.attributes, [2, 5]);
    }
}
