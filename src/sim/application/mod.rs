//! The server side of one client's association, without I/O: an APDU in, answers out.
//!
//! [`association`] opens and ends it, [`logical_names`] and [`short_names`] serve it, [`general_block`] cuts answers
//! that are too long for everything else. Protection is taken off and put on here.

mod association;
mod blocks;
mod general_block;
mod logical_names;
mod short_names;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use association::Association;
use general_block::GeneralBlocks;

use super::config::Framing;
use super::meter::Meter;
use crate::security::{CipherKey, SecurityError, SecurityHeader};
use crate::wire::acse;
use crate::wire::xdlms::fault::{ExceptionResponse, ServiceError};
use crate::wire::xdlms::tag;

/// What one client's APDUs do to one meter.
pub struct Application {
    meter: Arc<Meter>,
    client: u16,
    association: Option<Association>,
    general: GeneralBlocks,
    received: Vec<u8>,
    reply: Vec<u8>,
    /// The ciphered reply before, for the fault that plays it back.
    previous: Vec<u8>,
}

/// APDUs to send, in one buffer that is used again and again.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Replies {
    /// The APDUs, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds what `fill` appends; nothing is no APDU.
    fn add(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        fill(&mut self.bytes);
        if self.bytes.len() > start {
            self.ends.push(self.bytes.len());
        }
    }
}

impl Application {
    /// The application of `meter` for one client SAP.
    #[must_use]
    pub fn new(meter: Arc<Meter>, client: u16) -> Self {
        // HDLC carries one answer a turn.
        let link_window = if meter.config().framing == Framing::Wrapper { 63 } else { 1 };
        Self {
            meter,
            client,
            association: None,
            general: GeneralBlocks::new(link_window),
            received: Vec::new(),
            reply: Vec::new(),
            previous: Vec::new(),
        }
    }

    /// The client's SAP.
    #[must_use]
    pub const fn client(&self) -> u16 {
        self.client
    }

    /// The meter.
    #[must_use]
    pub const fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Ends the association, as a disconnect of the layer below does.
    pub fn disconnect(&mut self) {
        self.forget();
        self.meter.disconnect();
    }

    /// Ends the association, as a link does that is set up anew.
    pub fn forget(&mut self) {
        self.association = None;
        self.general.clear();
    }

    /// Takes note that the connection broke.
    pub fn abandon(&mut self, now: Instant) {
        if self.association.take().is_some() {
            self.meter.abandon(now);
        }
    }

    /// Answers an APDU.
    pub fn handle(&mut self, now: Instant, apdu: &[u8], replies: &mut Replies) {
        if apdu.first() == Some(&tag::GENERAL_BLOCK_TRANSFER) && self.general_window().is_some() {
            if let Some(request) = self.general.receive(apdu, self.send_limit(), replies) {
                self.answer(now, &request, replies);
            }
        } else {
            self.general.clear();
            self.answer(now, apdu, replies);
        }
    }

    fn answer(&mut self, now: Instant, apdu: &[u8], replies: &mut Replies) {
        let mut received = std::mem::take(&mut self.received);
        received.clear();
        received.extend_from_slice(apdu);
        match apdu.first() {
            Some(&acse::AARQ) => self.associate(now, &mut received, replies),
            Some(&acse::RLRQ) => self.release(&mut received, replies),
            Some(_) => self.serve(&mut received, replies),
            None => {}
        }
        self.received = received;
    }

    /// A service in an association.
    fn serve(&mut self, received: &mut [u8], replies: &mut Replies) {
        self.reply.clear();
        let Some(association) = &mut self.association else {
            return refuse(replies, ServiceError::OperationNotPossible);
        };
        if received.len() > usize::from(self.meter.config().max_pdu) {
            return refuse(replies, ServiceError::PduTooLong);
        }
        let (plain, header) = match &mut association.security {
            None => (&*received, None),
            Some(context) => match context.unprotect(received) {
                Ok(unprotected) => (unprotected.apdu, unprotected.header),
                Err(error) => return refuse_ciphered(&self.meter, replies, error),
            },
        };
        self.accept_counter(header.as_ref());
        let Some(association) = &mut self.association else { return };
        if association.serve(&self.meter, plain, &mut self.reply) == Verdict::End {
            self.association = None;
        }
        self.send(header.as_ref(), replies);
    }

    fn accept_counter(&self, header: Option<&SecurityHeader>) {
        if let Some(header) = header.filter(|header| header.key == CipherKey::Global) {
            self.meter.model().accept_client_counter(header.counter);
        }
    }

    /// Sends the reply as the request came: plain or ciphered, in its form and under its key.
    fn send(&mut self, header: Option<&SecurityHeader>, replies: &mut Replies) {
        let plain = matches!(
            self.reply.first(),
            None | Some(&(tag::EXCEPTION_RESPONSE | tag::CONFIRMED_SERVICE_ERROR))
        );
        let context = self.association.as_mut().and_then(|association| association.security.as_mut());
        let (Some(header), Some(context), false) = (header, context, plain) else {
            return self.dispatch_plain(replies);
        };
        let mut ciphered = Vec::with_capacity(self.reply.len() + 40);
        if context.protect_as(header.form, header.key, &self.reply, &mut ciphered).is_err() {
            return refuse(replies, ServiceError::OtherReason);
        }
        let number = self.meter.count_ciphered_reply();
        let faults = &self.meter.config().faults;
        if faults.wrong_counter.hits(number) && !self.previous.is_empty() {
            ciphered.clone_from(&self.previous);
        } else if faults.wrong_counter.0.is_some() {
            self.previous.clone_from(&ciphered);
        }
        if let (true, Some(last)) = (faults.bad_tag.hits(number), ciphered.last_mut()) {
            *last ^= 0x01;
        }
        self.dispatch(&ciphered, replies);
    }

    fn dispatch_plain(&mut self, replies: &mut Replies) {
        let reply = std::mem::take(&mut self.reply);
        self.dispatch(&reply, replies);
        self.reply = reply;
    }

    /// Sends an APDU whole, or in general blocks where it is too long or the request came so.
    fn dispatch(&mut self, apdu: &[u8], replies: &mut Replies) {
        let limit = self.send_limit();
        match self.general_window() {
            Some(window) if apdu.len() > limit || self.general.is_receiving() => {
                self.general.send(apdu, window, limit, replies);
            }
            _ => replies.add(|out| out.extend_from_slice(apdu)),
        }
    }

    /// Longest APDU to send, bytes.
    fn send_limit(&self) -> usize {
        self.association.as_ref().map_or(usize::from(u16::MAX), |association| association.send_limit)
    }

    /// The window of general block transfer, where it was negotiated.
    fn general_window(&self) -> Option<u8> {
        self.association.as_ref().filter(|association| association.uses_general_blocks())?;
        self.meter.config().general_block_transfer
    }
}

/// Whether the association goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    GoOn,
    End,
}

/// Adds an exception-response.
fn refuse(replies: &mut Replies, service: ServiceError) {
    replies.add(|out| put_exception(out, service, None));
}

fn put_exception(out: &mut Vec<u8>, service: ServiceError, invocation_counter: Option<u32>) {
    ExceptionResponse { state: ExceptionResponse::SERVICE_NOT_ALLOWED, service, invocation_counter }
        .encode(out);
}

/// Says why a ciphered APDU is refused; an old invocation counter with the one that is expected.
fn refuse_ciphered(meter: &Meter, replies: &mut Replies, error: SecurityError) {
    let (service, counter) = match error {
        SecurityError::Replay { .. } => {
            (ServiceError::InvocationCounterError, Some(meter.model().client_counter().saturating_add(1)))
        }
        SecurityError::Downgrade { .. } => (ServiceError::OperationNotPossible, None),
        _ => (ServiceError::DecipheringError, None),
    };
    replies.add(|out| put_exception(out, service, counter));
}
