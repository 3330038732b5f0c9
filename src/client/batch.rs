//! Reading many attributes in as few round trips as the meter allows.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{ClientError, MeterClient};
use crate::error::{Layer, Report};
use crate::session::association::Negotiated;
use crate::session::error::Recovery;
use crate::wire::acse::Referencing;
use crate::wire::data::Data;
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::{AttributeRequest, DataAccessResult, GetDataResult};

/// Attributes in one list at the most: a meter's buffer is finite, and so is its patience.
const MAX_LIST: usize = 64;

/// Octets of one item without selection in a GET-with-list: class, logical name, attribute, selection flag.
const ITEM_OCTETS: usize = 10;

/// Octets of one item of a Read: choice, short name.
const SHORT_ITEM_OCTETS: usize = 3;

/// Octets of the header of a GET-with-list and of ciphering, generously.
const HEADER_OCTETS: usize = 40;

/// Octets that one answer takes where it cannot be sent in blocks: a guess that most registers keep.
const ANSWER_OCTETS: usize = 16;

/// What a meter makes of lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lists {
    /// Not refused so far.
    #[default]
    Untried,
    /// This meter answered a list.
    Work,
    /// This meter negotiated lists and refuses them.
    Refused,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MeterClient<'_, S> {
    /// Reads attributes, by lists where the meter takes them, else one by one. Appends to `results` in their order.
    ///
    /// The failure of one attribute is a result. `lists` is what is known of the meter, and learns.
    ///
    /// # Errors
    /// The stream's, the link's, or a failure that ends the association; what came before it is in `results`.
    pub async fn read_attributes(
        &mut self,
        requests: Vec<AttributeRequest>,
        lists: &mut Lists,
        results: &mut Vec<Result<Data, Report>>,
    ) -> Result<(), ClientError> {
        self.read_attributes_while(requests, lists, results, |_| true).await
    }

    /// The same, as long as `go_on` wants more than the number of answers that there are. It is asked before each
    /// exchange, and after the last.
    ///
    /// # Errors
    /// As [`Self::read_attributes`].
    pub async fn read_attributes_while(
        &mut self,
        requests: Vec<AttributeRequest>,
        lists: &mut Lists,
        results: &mut Vec<Result<Data, Report>>,
        mut go_on: impl FnMut(usize) -> bool,
    ) -> Result<(), ClientError> {
        let item_octets = match self.referencing() {
            Referencing::LogicalName => ITEM_OCTETS,
            Referencing::ShortName => SHORT_ITEM_OCTETS,
        };
        let negotiated = self.session().negotiated();
        let at_once = negotiated.map_or(1, |negotiated| list_length(negotiated, *lists, item_octets));
        results.reserve(requests.len());
        let mut requests = requests.into_iter().peekable();
        let before = results.len();
        while go_on(results.len() - before)
            && let Some(first) = requests.next()
        {
            if at_once < 2 || first.selection.is_some() || *lists == Lists::Refused {
                results.push(self.read_one(first).await?);
                continue;
            }
            let mut batch = vec![first];
            while batch.len() < at_once {
                match requests.next_if(|request| request.selection.is_none()) {
                    Some(request) => batch.push(request),
                    None => break,
                }
            }
            self.read_batch(batch, lists, results).await?;
        }
        Ok(())
    }

    /// Reads one attribute.
    ///
    /// # Errors
    /// As [`Self::read_attributes`].
    pub async fn read_one(&mut self, request: AttributeRequest) -> Result<Result<Data, Report>, ClientError> {
        match self.get(request).await {
            Ok(result) => Ok(result.map_err(refusal)),
            Err(error) if error.recovery() == Recovery::ReportOnly => Ok(Err(error.report())),
            Err(error) => Err(error),
        }
    }

    async fn read_batch(
        &mut self,
        batch: Vec<AttributeRequest>,
        lists: &mut Lists,
        results: &mut Vec<Result<Data, Report>>,
    ) -> Result<(), ClientError> {
        if let [only] = batch.as_slice() {
            results.push(self.read_one(only.clone()).await?);
            return Ok(());
        }
        match self.list(batch.clone()).await {
            Ok(answers) if !self.is_refused_as_a_whole(&batch, &answers, *lists) => {
                if answers.iter().any(Result::is_ok) {
                    *lists = Lists::Work;
                }
                results.extend(answers.into_iter().map(|answer| answer.map_err(refusal)));
                return Ok(());
            }
            Err(error) if error.recovery() != Recovery::ReportOnly => return Err(error),
            _ => {}
        }
        if *lists == Lists::Untried {
            tracing::info!("the meter refuses GET-with-list: its attributes are read one by one");
            *lists = Lists::Refused;
        }
        for request in batch {
            results.push(self.read_one(request).await?);
        }
        Ok(())
    }

    /// Whether a meter that never answered a list says no to each item: it may mean the list. Items without a short
    /// name were not asked for.
    fn is_refused_as_a_whole(
        &self,
        batch: &[AttributeRequest],
        answers: &[GetDataResult],
        lists: Lists,
    ) -> bool {
        let is_asked = |request: &AttributeRequest| {
            self.referencing() == Referencing::LogicalName || self.names.attribute(&request.attribute).is_ok()
        };
        lists == Lists::Untried && answers.iter().all(Result::is_err) && batch.iter().any(is_asked)
    }
}

fn refusal(result: DataAccessResult) -> Report {
    result.report(Layer::Get)
}

/// How many attributes fit one request, and their answers what the meter may send.
fn list_length(negotiated: &Negotiated, lists: Lists, item_octets: usize) -> usize {
    if lists == Lists::Refused || !negotiated.conformance.contains(Conformance::MULTIPLE_REFERENCES) {
        return 1;
    }
    let pdu = negotiated.max_send_pdu.map_or(usize::from(u16::MAX), usize::from);
    let requests = pdu.saturating_sub(HEADER_OCTETS) / item_octets;
    let answers = if negotiated.conformance.contains(Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ) {
        MAX_LIST
    } else {
        pdu.saturating_sub(HEADER_OCTETS) / ANSWER_OCTETS
    };
    requests.min(answers).clamp(1, MAX_LIST)
}
