//! Reading a profile generic: its layout once, then the rows that are wanted, oldest first.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::batch::Lists;
use super::{ClientError, MeterClient};
use crate::cosem::capture_object::CaptureObject;
use crate::cosem::catalogue::ClassId;
use crate::cosem::catalogue::wrong_type::WrongType;
use crate::cosem::profile::{self, ClockForm, Entries, NullCells, RowExpander, SortMethod};
use crate::cosem::scaler_unit::ScalerUnit;
use crate::error::{Code, Layer, Report};
use crate::wire::data::Data;
use crate::wire::date_time::DateTime;
use crate::wire::obis::Obis;
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::{AttributeDescriptor, AttributeRequest, SelectiveAccess};

const BUFFER: i8 = 2;
const CAPTURE_OBJECTS: i8 = 3;
const CAPTURE_PERIOD: i8 = 4;
const SORT_METHOD: i8 = 5;
const SORT_OBJECT: i8 = 6;
const ENTRIES_IN_USE: i8 = 7;

/// What does not change from read to read.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileLayout {
    /// The columns.
    pub columns: Vec<CaptureObject>,
    /// Scaler and unit of each column: `None` where it has none, an error where they could not be read.
    pub units: Vec<Result<Option<ScalerUnit>, Report>>,
    /// Seconds between rows; 0 where rows are not periodic.
    pub capture_period: u32,
    /// Order of the buffer.
    pub sort_method: SortMethod,
    /// The column that orders it, where the meter names one.
    pub sort_object: Option<CaptureObject>,
    /// The type of the time column, once a row has shown it.
    pub clock_form: ClockForm,
    /// Whether rows can be selected by time.
    pub range_access: RangeAccess,
    /// When the meter told it.
    pub read_at: Instant,
}

/// Whether a meter selects rows by time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RangeAccess {
    /// It was not asked to, or it does.
    #[default]
    Untried,
    /// It does not: the whole buffer is read for every range.
    Refused,
}

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rows {
    /// All that there are.
    All,
    /// The newest.
    Newest(u32),
    /// Those of a time, both ends included.
    Range {
        /// Oldest.
        from: RangeBound,
        /// Newest.
        to: RangeBound,
    },
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeBound {
    /// As the meter's clock says it.
    pub local: DateTime,
    /// Seconds since the Unix epoch, for meters that keep UNIX time.
    pub utc_seconds: i64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MeterClient<'_, S> {
    /// Reads columns, period, order, and scaler and unit of each column.
    ///
    /// # Errors
    /// Outer: the stream's, the link's, or the association's end. Inner: the meter's refusal.
    pub async fn profile_layout(
        &mut self,
        obis: Obis,
        lists: &mut Lists,
    ) -> Result<Result<ProfileLayout, Report>, ClientError> {
        let wanted = [CAPTURE_OBJECTS, CAPTURE_PERIOD, SORT_METHOD, SORT_OBJECT];
        let requests = wanted.map(|attribute| AttributeRequest::whole(buffer_attribute(obis, attribute)));
        let mut answers = Vec::new();
        self.read_attributes(requests.to_vec(), lists, &mut answers).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Err(missing_answer()));
        let columns = match next() {
            Ok(data) => match CaptureObject::list_from_data(&data) {
                Some(columns) => columns,
                None => return Ok(Err(not_understood("capture_objects"))),
            },
            Err(refused) => return Ok(Err(refused)),
        };
        // Old meters have no more than the columns: then rows are aperiodic and first in, first out.
        let capture_period = next().ok().and_then(|data| unsigned(&data)).unwrap_or_default();
        let sort_method =
            next().ok().and_then(|data| SortMethod::from_data(&data)).unwrap_or(SortMethod::Fifo);
        let sort_object =
            next().ok().and_then(|data| CaptureObject::from_data(&data)).filter(|object| !object.is_none());
        let units = self.column_units(&columns, lists).await?;
        let clock_form = ClockForm::default();
        Ok(Ok(ProfileLayout {
            columns,
            units,
            capture_period,
            sort_method,
            sort_object,
            clock_form,
            range_access: RangeAccess::Untried,
            read_at: Instant::now(),
        }))
    }

    async fn column_units(
        &mut self,
        columns: &[CaptureObject],
        lists: &mut Lists,
    ) -> Result<Vec<Result<Option<ScalerUnit>, Report>>, ClientError> {
        let requests: Vec<Option<AttributeRequest>> = columns.iter().map(scaler_unit_of).collect();
        let asked = requests.iter().flatten().cloned().collect();
        let mut answers = Vec::new();
        self.read_attributes(asked, lists, &mut answers).await?;
        let mut answers = answers.into_iter();
        Ok(requests
            .into_iter()
            .map(|request| match request {
                None => Ok(None),
                Some(_) => {
                    let data = answers.next().unwrap_or_else(|| Err(missing_answer()))?;
                    ScalerUnit::from_data(&data).map(Some).ok_or_else(|| not_understood("scaler_unit"))
                }
            })
            .collect())
    }

    /// Reads rows, completed and oldest first.
    ///
    /// # Errors
    /// As [`Self::profile_layout`].
    pub async fn profile_rows(
        &mut self,
        obis: Obis,
        layout: &mut ProfileLayout,
        rows: Rows,
        null_cells: NullCells,
    ) -> Result<Result<Vec<Vec<Data>>, Report>, ClientError> {
        let selection = match self.selection(obis, layout, rows).await? {
            Ok(Selection::Nothing) => return Ok(Ok(Vec::new())),
            Ok(Selection::Some(selection)) => Some(selection),
            Ok(Selection::Whole) => None,
            Err(refused) => return Ok(Err(refused)),
        };
        let selected = selection.is_some();
        let attribute = buffer_attribute(obis, BUFFER);
        let mut answer = self.read_one(AttributeRequest { attribute, selection }).await?;
        let mut is_whole = !selected;
        if selected && answer.as_ref().is_err_and(is_refused_selection) {
            // No selective access: take all, and choose here.
            answer = self.read_one(AttributeRequest::whole(attribute)).await?;
            is_whole = true;
        }
        let buffer = match answer {
            Ok(buffer) => buffer,
            Err(refused) => return Ok(Err(refused)),
        };
        let wrong = WrongType::of(ClassId::PROFILE_GENERIC, None, BUFFER, &buffer);
        if let Rows::Range { .. } = rows {
            layout.range_access = if is_whole { RangeAccess::Refused } else { RangeAccess::Untried };
        }
        let Some(mut table) = profile::rows(buffer) else {
            return Ok(Err(wrong.map_or_else(|| not_understood("buffer"), |wrong| wrong.report())));
        };
        let time_column = profile::time_column(&layout.columns);
        if let Some(form) =
            time_column.and_then(|column| table.iter().find_map(|row| ClockForm::of(row.get(column)?)))
        {
            layout.clock_form = form;
        }
        let mut expander =
            RowExpander::new(&layout.columns, layout.capture_period, layout.sort_method, null_cells);
        table.iter_mut().for_each(|row| expander.expand(row));
        order(&mut table, layout.sort_method, time_column);
        if is_whole {
            choose(&mut table, rows, time_column);
        }
        Ok(Ok(table))
    }

    async fn selection(
        &mut self,
        obis: Obis,
        layout: &ProfileLayout,
        rows: Rows,
    ) -> Result<Result<Selection, Report>, ClientError> {
        let conformance = self.session().negotiated().map_or(Conformance::NONE, |agreed| agreed.conformance);
        let selectable = Conformance::SELECTIVE_ACCESS.union(Conformance::PARAMETERIZED_ACCESS);
        if conformance.intersection(selectable) == Conformance::NONE {
            return Ok(Ok(Selection::Whole));
        }
        match rows {
            Rows::All => Ok(Ok(Selection::Whole)),
            Rows::Range { from, to } => {
                let restricting = match (layout.sort_object, profile::time_column(&layout.columns)) {
                    (_, Some(column)) => layout.columns.get(column).copied(),
                    (sort_object, None) => sort_object.or_else(|| layout.columns.first().copied()),
                };
                let Some(restricting) = restricting else { return Ok(Ok(Selection::Whole)) };
                // A sort object that is no clock holds UNIX time.
                let form = if restricting.is_clock() { layout.clock_form } else { ClockForm::UnixTime };
                let bound = |end: RangeBound| form.bound(end.local, end.utc_seconds);
                let parameters = profile::range(restricting, bound(from), bound(to), &[]);
                Ok(Ok(Selection::Some(SelectiveAccess { selector: profile::RANGE_SELECTOR, parameters })))
            }
            Rows::Newest(count) => {
                let request = AttributeRequest::whole(buffer_attribute(obis, ENTRIES_IN_USE));
                let in_use = match self.read_one(request).await? {
                    Ok(data) => unsigned(&data),
                    Err(refused) if refused.code == Code::ObjectUndefined => return Ok(Err(refused)),
                    Err(_) => None,
                };
                Ok(Ok(match (in_use, layout.sort_method) {
                    (Some(0), _) => Selection::Nothing,
                    (None, _) | (_, SortMethod::ByValue) => Selection::Whole,
                    (Some(in_use), method) => match Entries::newest(count, in_use, method) {
                        None => Selection::Nothing,
                        Some(entries) => Selection::Some(SelectiveAccess {
                            selector: profile::ENTRY_SELECTOR,
                            parameters: profile::entries(entries),
                        }),
                    },
                }))
            }
        }
    }
}

enum Selection {
    Nothing,
    Whole,
    Some(SelectiveAccess),
}

const fn buffer_attribute(obis: Obis, attribute_id: i8) -> AttributeDescriptor {
    AttributeDescriptor { class_id: ClassId::PROFILE_GENERIC.0, instance_id: obis, attribute_id }
}

/// The attribute that scales a column; only the values of registers are scaled, not their status or times.
fn scaler_unit_of(column: &CaptureObject) -> Option<AttributeRequest> {
    let is_value = column.attribute == 2 || column.class == ClassId::DEMAND_REGISTER && column.attribute == 3;
    let attribute_id = column.class.scaler_unit_attribute().filter(|_| is_value)?;
    Some(AttributeRequest::whole(AttributeDescriptor {
        class_id: column.class.0,
        instance_id: column.obis,
        attribute_id,
    }))
}

/// Whether a meter refuses the selection rather than the object.
fn is_refused_selection(report: &Report) -> bool {
    matches!(
        report.code,
        Code::TypeMismatch | Code::OtherReason | Code::AccessDenied | Code::Exception | Code::ServiceError
    )
}

/// Oldest first. Rows that a meter keeps by value are ordered by their time.
fn order(table: &mut [Vec<Data>], method: SortMethod, time_column: Option<usize>) {
    match method {
        SortMethod::Fifo => {}
        SortMethod::Lifo => table.reverse(),
        SortMethod::ByValue => table.sort_by_key(|row| time_of(row, time_column)),
    }
}

fn time_of(row: &[Data], time_column: Option<usize>) -> Option<i64> {
    match row.get(time_column?)? {
        Data::DoubleLongUnsigned(seconds) => Some(i64::from(*seconds) * 1000),
        cell => profile::date_time(cell)?.local_millis(),
    }
}

/// What a selection would have left.
fn choose(table: &mut Vec<Vec<Data>>, rows: Rows, time_column: Option<usize>) {
    match rows {
        Rows::All => {}
        Rows::Newest(count) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            table.drain(..table.len().saturating_sub(count));
        }
        Rows::Range { from, to } => {
            let (from, to) = (from.local.local_millis(), to.local.local_millis());
            table.retain(|row| {
                let time = time_of(row, time_column);
                time.is_some() && time >= from && to.is_none_or(|to| time <= Some(to))
            });
        }
    }
}

fn unsigned(data: &Data) -> Option<u32> {
    match *data {
        Data::Unsigned(value) => Some(value.into()),
        Data::LongUnsigned(value) => Some(value.into()),
        Data::DoubleLongUnsigned(value) => Some(value),
        Data::Integer(value) => u32::try_from(value).ok(),
        Data::Long(value) => u32::try_from(value).ok(),
        Data::DoubleLong(value) => u32::try_from(value).ok(),
        _ => None,
    }
}

fn not_understood(attribute: &str) -> Report {
    Report::new(Code::Decode, Layer::Decode, format!("{attribute} has not the form that its class defines"))
}

fn missing_answer() -> Report {
    Report::new(Code::Decode, Layer::Get, "the meter answered fewer attributes than asked for")
}
