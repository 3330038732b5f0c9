//! The objects that an association shows, in either referencing.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{ClientError, MeterClient};
use crate::cosem::catalogue::ClassId;
use crate::cosem::object_list::ObjectList;
use crate::error::{Code, Layer, Report};
use crate::wire::acse::Referencing;
use crate::wire::data::Data;
use crate::wire::obis::Obis;
use crate::wire::xdlms::{AttributeDescriptor, AttributeRequest};

const CURRENT_ASSOCIATION: Obis = Obis::new(0, 0, 40, 0, 0, 255);
const OBJECT_LIST: i8 = 2;
const ACCESS_RIGHTS_LIST: i8 = 3;

impl<S: AsyncRead + AsyncWrite + Unpin> MeterClient<'_, S> {
    /// Reads the objects of the association, with access rights as far as the meter tells them.
    ///
    /// # Errors
    /// Outer: the stream's, the link's, or the association's end. Inner: the meter's refusal.
    pub async fn object_list(&mut self) -> Result<Result<ObjectList, Report>, ClientError> {
        match self.referencing() {
            Referencing::LogicalName => {
                let data = self.read_one(association(ClassId::ASSOCIATION_LN, OBJECT_LIST)).await?;
                Ok(data.and_then(|data| logical_names(&data).ok_or_else(not_understood)))
            }
            Referencing::ShortName => {
                let mut objects = match self.base_names().await? {
                    Ok(objects) => objects,
                    Err(refused) => return Ok(Err(refused)),
                };
                self.add_access_rights(&mut objects).await?;
                Ok(Ok(objects))
            }
        }
    }

    /// Reads the objects of an association SN with their base names alone: half of what [`Self::object_list`] reads.
    ///
    /// # Errors
    /// As [`Self::object_list`].
    pub async fn base_names(&mut self) -> Result<Result<ObjectList, Report>, ClientError> {
        let data = self.read_one(association(ClassId::ASSOCIATION_SN, OBJECT_LIST)).await?;
        Ok(data.and_then(|data| ObjectList::from_association_sn(&data).ok_or_else(not_understood)))
    }

    /// Adds the access rights to the objects of an association SN. Old versions of the class do not tell them.
    ///
    /// # Errors
    /// The stream's, the link's, or the association's end; a refusal is none.
    pub async fn add_access_rights(&mut self, objects: &mut ObjectList) -> Result<(), ClientError> {
        if let Ok(data) = self.read_one(association(ClassId::ASSOCIATION_SN, ACCESS_RIGHTS_LIST)).await? {
            objects.add_access_rights_sn(&data);
        }
        Ok(())
    }
}

/// Access rights changed their form with version 3 of the class.
fn logical_names(data: &Data) -> Option<ObjectList> {
    let objects = ObjectList::from_association_ln(data, 0)?;
    match objects.find(CURRENT_ASSOCIATION, Some(ClassId::ASSOCIATION_LN)) {
        Some(association) if association.version >= 3 => {
            ObjectList::from_association_ln(data, association.version)
        }
        _ => Some(objects),
    }
}

const fn association(class: ClassId, attribute_id: i8) -> AttributeRequest {
    AttributeRequest::whole(AttributeDescriptor {
        class_id: class.0,
        instance_id: CURRENT_ASSOCIATION,
        attribute_id,
    })
}

fn not_understood() -> Report {
    Report::new(Code::Decode, Layer::Decode, "the object list has not the form that its class defines")
}
