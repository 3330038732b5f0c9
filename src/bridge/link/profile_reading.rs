//! Profiles in a visit: their layout once, then the rows that are wanted.

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use super::range::range_bounds;
use super::visit::{FoundRows, Planned, Visit};
use crate::bridge::config::document::group::NullCells as ConfiguredNullCells;
use crate::bridge::config::model::Value;
use crate::bridge::reading::meter_time::TimeRules;
use crate::bridge::reading::profile_rows::{ColumnSource, Columns, Rows};
use crate::client::profile::{self, ProfileLayout};
use crate::cosem::profile::NullCells;
use crate::error::Report;
use crate::wire::data::Data;
use crate::wire::obis::Obis;

impl<S: AsyncRead + AsyncWrite + Unpin> Visit<'_, '_, S> {
    pub(super) async fn rows(&mut self, item: &Planned<'_>) -> Result<FoundRows, Report> {
        if self.broken.is_some() {
            return Err(self.why_broken());
        }
        let mut layout = self.layout(item.obis).await?;
        let wanted = wanted_rows(item.value, &self.rules)?;
        let table = self.table(item, &mut layout, wanted).await?;
        let found = self.found(item, &layout, &table);
        self.memory.layouts.insert(item.obis, layout);
        Ok(found)
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
        if let Some(known) = self.memory.layouts.get(&obis) {
            return Ok(known.clone());
        }
        match self.client.profile_layout(obis, &mut self.memory.lists).await {
            Ok(layout) => layout,
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
    Ok(configured.entries.map_or(profile::Rows::All, |entries| profile::Rows::Newest(entries.into())))
}

const fn null_cells(configured: ConfiguredNullCells) -> NullCells {
    match configured {
        ConfiguredNullCells::Null => NullCells::Null,
        ConfiguredNullCells::Previous => NullCells::Previous,
    }
}
