//! Profiles in a visit: their layout once, the rows that a poll wants, or those of a window in which some were missed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};

use super::memory::MeterMemory;
use super::range::{bound, range_bounds};
use super::visit::{FoundRows, NEVER, Planned, Visit};
use crate::bridge::backfill::track::{Access, Slice};
use crate::bridge::config::document::group::NullCells as ConfiguredNullCells;
use crate::bridge::config::model::{Capture, Device, Profile, Value};
use crate::bridge::config::object::TimePoint;
use crate::bridge::reading::meter_time::TimeRules;
use crate::bridge::reading::profile_rows::{ColumnSource, Columns, Rows};
use crate::bridge::reading::row_time::{RowPoint, RowTime};
use crate::client::profile::{self, ProfileLayout, RangeAccess};
use crate::client::{ClientError, MeterClient};
use crate::cosem::profile::{NullCells, time_column};
use crate::error::{Code, Layer, Report};
use crate::wire::data::Data;
use crate::wire::obis::Obis;

/// No clock is off by more for its zone alone.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);

/// Columns and capture period are read again after this: a meter may have been given others.
const LAYOUT_AGE: Duration = Duration::from_secs(3600);

/// Rows of a window.
#[derive(Debug)]
pub(super) struct Window {
    /// What was asked for.
    pub(super) slice: Slice,
    /// The rows that were wanted of it.
    pub(super) found: FoundRows,
    /// Their times.
    pub(super) times: Vec<RowTime>,
}

/// Reads a window of a profile, as `slice` says by what the meter can be asked for, and of its rows those that are
/// wanted. Rows without a time are none of them.
///
/// # Errors
/// Outer: what ended the association. Inner: the meter's refusal.
pub(super) async fn read_window<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut MeterClient<'_, S>,
    memory: &mut MeterMemory,
    device: &Device,
    value: &Value,
    slice: impl FnOnce(Access) -> Option<Slice>,
    is_wanted: impl Fn(Slice, &RowTime) -> bool,
) -> Result<Result<Window, Report>, ClientError> {
    let mut visit = Visit::new(client, memory, device, NEVER);
    let window = visit.window(value, slice, is_wanted).await;
    if let Some(error) = visit.broken {
        return Err(error);
    }
    if client.session().answers_are_unnumbered()
        && let Err(error) = client.prove_in_step().await
    {
        memory.forget_what_was_read();
        return Err(error);
    }
    Ok(window)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Visit<'_, '_, S> {
    pub(super) async fn rows(&mut self, item: &Planned<'_>) -> Result<FoundRows, Report> {
        if self.broken.is_some() {
            return Err(self.why_broken());
        }
        let mut layout = self.layout(item.obis).await?;
        let wanted = wanted_rows(item.value, &self.rules)?;
        let mut table = self.table(item, &mut layout, wanted).await?;
        if let Some(newest) = item.value.profile.as_ref().and_then(known_newest) {
            // By position or by the bounds of a range known rows come as well.
            let column = time_column(&layout.columns);
            table.retain(|row| {
                let time = column.and_then(|column| RowTime::of(row.get(column)?, &self.rules));
                time.is_none_or(|time| time.at.since(newest) > 0)
            });
        }
        if let Some(entries) = item.value.profile.as_ref().and_then(|profile| profile.entries) {
            table.drain(..table.len().saturating_sub(entries.into()));
        }
        let found = self.found(item, &layout, &table);
        self.memory.layouts.insert(item.obis, layout);
        Ok(found)
    }

    async fn window(
        &mut self,
        value: &Value,
        slice: impl FnOnce(Access) -> Option<Slice>,
        is_wanted: impl Fn(Slice, &RowTime) -> bool,
    ) -> Result<Window, Report> {
        let planned = self.plan(value);
        let item =
            planned.map_err(|refused| refused.error.unwrap_or_else(|| out_of_calendar("the profile")))?;
        let mut layout = self.layout(item.obis).await?;
        let access = match layout.range_access {
            RangeAccess::Untried => Access::ByRange,
            RangeAccess::Refused => Access::Whole,
        };
        let slice = slice(access).ok_or_else(|| out_of_calendar("a gap that is closed"))?;
        let (from, to) = slice.bounds().ok_or_else(|| out_of_calendar("the window"))?;
        let mut table = self.table(&item, &mut layout, profile::Rows::Range { from, to }).await?;
        let column = time_column(&layout.columns);
        let mut times = Vec::new();
        table.retain(|row| {
            let time = column.and_then(|column| RowTime::of(row.get(column)?, &self.rules));
            match time.filter(|time| is_wanted(slice, time)) {
                Some(time) => {
                    times.push(time);
                    true
                }
                None => false,
            }
        });
        let found = self.found(&item, &layout, &table);
        self.memory.layouts.insert(item.obis, layout);
        Ok(Window { slice, found, times })
    }

    async fn table(
        &mut self,
        item: &Planned<'_>,
        layout: &mut ProfileLayout,
        wanted: profile::Rows,
    ) -> Result<Vec<Vec<Data>>, Report> {
        let nulls =
            item.value.profile.as_ref().map(|profile| null_cells(profile.null_cells)).unwrap_or_default();
        match self.client.profile_rows(item.obis, layout, wanted, nulls).await {
            Ok(rows) => rows,
            Err(error) => {
                let report = error.report();
                self.broken = Some(error);
                Err(report)
            }
        }
    }

    fn found(&self, item: &Planned<'_>, layout: &ProfileLayout, table: &[Vec<Data>]) -> FoundRows {
        let names = item.value.profile.as_ref().map(|profile| profile.columns.clone()).unwrap_or_default();
        let sources = layout.columns.iter().zip(&layout.units);
        let sources: Vec<ColumnSource> = sources
            .map(|(&object, scaler_unit)| ColumnSource { object, scaler_unit: scaler_unit.clone() })
            .collect();
        FoundRows {
            obis: item.identity.obis,
            rows: Rows::new(Columns::new(&sources, &names), table, &self.rules),
            capture_period: layout.capture_period,
        }
    }

    async fn layout(&mut self, obis: Obis) -> Result<ProfileLayout, Report> {
        let known = self.memory.layouts.get(&obis);
        if let Some(known) = known.filter(|known| known.read_at.elapsed() < LAYOUT_AGE) {
            return Ok(known.clone());
        }
        match self.client.profile_layout(obis, &mut self.memory.lists).await {
            Ok(Ok(read)) => Ok(match self.memory.layouts.get(&obis) {
                // What was learnt of the meter's ways holds on.
                Some(ProfileLayout { clock_form, range_access, .. }) => {
                    ProfileLayout { clock_form: *clock_form, range_access: *range_access, ..read }
                }
                None => read,
            }),
            Ok(Err(refused)) => Err(refused),
            Err(error) => {
                let report = error.report();
                self.broken = Some(error);
                Err(report)
            }
        }
    }
}

fn wanted_rows(value: &Value, rules: &TimeRules) -> Result<profile::Rows, Report> {
    let Some(configured) = &value.profile else { return Ok(profile::Rows::All) };
    if configured.from.is_some() || configured.to.is_some() {
        let (from, to) = range_bounds(configured, rules, Timestamp::now())?;
        return Ok(profile::Rows::Range { from, to });
    }
    if let Some(entries) = configured.entries {
        return Ok(profile::Rows::Newest(entries.into()));
    }
    let Some(from) = known_newest(configured).and_then(RowPoint::bound) else {
        return Ok(profile::Rows::All);
    };
    // The meter's clock may be another's, and ahead.
    let ahead = Timestamp::now().checked_add(A_DAY).unwrap_or(Timestamp::MAX);
    let to = bound(&TimePoint::Instant(ahead), rules, ahead)?;
    Ok(profile::Rows::Range { from, to })
}

/// The newest row that is known of a profile that is read incrementally.
const fn known_newest(profile: &Profile) -> Option<RowPoint> {
    match profile.capture {
        Capture::Newest => None,
        Capture::Since(newest) => newest,
    }
}

const fn null_cells(configured: ConfiguredNullCells) -> NullCells {
    match configured {
        ConfiguredNullCells::Null => NullCells::Null,
        ConfiguredNullCells::Previous => NullCells::Previous,
    }
}

fn out_of_calendar(what: &str) -> Report {
    Report::new(Code::Internal, Layer::Internal, format!("{what} cannot be asked for"))
}
