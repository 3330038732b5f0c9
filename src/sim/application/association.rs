//! AARQ, passes 3 and 4 of high level authentication, RLRQ: how an association opens and ends.

use std::time::Instant;

use subtle::ConstantTimeEq;

use super::blocks::{Incoming, Outgoing};
use super::logical_names::{ActionTarget, SetTarget};
use super::{Application, Replies, Verdict, refuse, refuse_ciphered};
use crate::security::envelope::Envelope;
use crate::security::hls::{self, CHALLENGE_LENGTH};
use crate::security::{
    HlsInputs, Key, Protection, ReplayCheck, SecurityContext, SecurityError, SecurityHeader,
    SecuritySettings, SystemTitle,
};
use crate::sim::config::{MeterConfig, PublicClient};
use crate::sim::meter::Meter;
use crate::sim::model::Viewer;
use crate::sim::model::object::Audience;
use crate::wire::acse::{
    Aare, Aarq, AssociationResult, AuthenticationValue, Diagnostic, DiagnosticSource, Mechanism, Referencing,
    ReleaseReason, Rlre, Rlrq,
};
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::fault::{ConfirmedServiceError, ServiceError};
use crate::wire::xdlms::initiate::{
    DLMS_VERSION, InitiateRequest, InitiateResponse, VAA_LOGICAL_NAME, VAA_SHORT_NAME,
};

/// An open association, or one that waits for pass 3.
pub(super) struct Association {
    pub(super) viewer: Viewer,
    /// Keys and counters, where the association has them.
    pub(super) security: Option<SecurityContext>,
    /// Challenges, until the client has proved itself.
    pub(super) pending: Option<Handshake>,
    /// Whether the client has proved itself by high level authentication.
    pub(super) proved: bool,
    /// Longest APDU to send, bytes, its protection included.
    pub(super) send_limit: usize,
    pub(super) get: Option<Outgoing>,
    pub(super) read: Option<Outgoing>,
    pub(super) set: Option<Incoming<SetTarget>>,
    pub(super) action: Option<Incoming<ActionTarget>>,
    pub(super) long_read: Option<Incoming<()>>,
    pub(super) long_write: Option<Incoming<()>>,
}

/// What pass 3 is held against.
pub(super) struct Handshake {
    ctos: Vec<u8>,
    stoc: [u8; CHALLENGE_LENGTH],
}

/// Why an association is refused.
enum Refusal {
    /// In an AARE.
    Rejected(Diagnostic, Option<ConfirmedServiceError>),
    /// By an exception-response.
    Ciphering(SecurityError),
    /// The AARQ cannot be read.
    Malformed,
}

const NO_REASON: Diagnostic = Diagnostic { source: DiagnosticSource::User, value: 1 };
const CONTEXT_NAME: Diagnostic = Diagnostic { source: DiagnosticSource::User, value: 2 };
const CALLING_TITLE: Diagnostic = Diagnostic { source: DiagnosticSource::User, value: 3 };

const fn initiate_error(class: u8, value: u8) -> ConfirmedServiceError {
    ConfirmedServiceError { service: 1, class, value }
}

impl Application {
    pub(super) fn associate(&mut self, now: Instant, apdu: &mut [u8], replies: &mut Replies) {
        if self.meter.is_taken(now) {
            return refuse(replies, ServiceError::OperationNotPossible);
        }
        self.association = None;
        match self.negotiate(apdu) {
            Ok((association, aare)) => {
                self.association = Some(association);
                replies.add(|out| out.extend_from_slice(&aare));
            }
            Err(Refusal::Malformed) => refuse(replies, ServiceError::OtherReason),
            Err(Refusal::Ciphering(error)) => refuse_ciphered(&self.meter, replies, error),
            Err(Refusal::Rejected(diagnostic, error)) => {
                let mut user_information = Vec::new();
                if let Some(error) = error {
                    error.encode(&mut user_information);
                }
                let aare = Aare {
                    application_context: Aarq::decode(apdu).ok().map(|aarq| aarq.application_context),
                    result: AssociationResult::RejectedPermanent,
                    diagnostic,
                    responding_ap_title: None,
                    responding_ae_qualifier: None,
                    mechanism: None,
                    authentication_value: None,
                    user_information: error.map(|_| user_information.as_slice()),
                };
                replies.add(|out| aare.encode(out));
            }
        }
    }

    /// The association that an AARQ asks for, and the AARE that opens it.
    fn negotiate(&self, apdu: &[u8]) -> Result<(Association, Vec<u8>), Refusal> {
        let config = self.meter.config();
        let aarq = Aarq::decode(apdu).map_err(|_| Refusal::Malformed)?;
        let audience = self.admit(&aarq)?;
        let mut security = self.security_context(&aarq, audience)?;

        let mut user_information = aarq.user_information.ok_or(Refusal::Malformed)?.to_vec();
        let (request, header) = match &mut security {
            None => (&*user_information, None),
            Some(context) => {
                let unprotected = context.unprotect(&mut user_information).map_err(Refusal::Ciphering)?;
                (unprotected.apdu, unprotected.header)
            }
        };
        if let Some(header) = &header {
            self.meter.model().accept_client_counter(header.counter);
        }
        let request = InitiateRequest::decode(request).map_err(|_| Refusal::Malformed)?;
        let conformance = agree(config, audience, &request)?;
        if let (Some(key), Some(context)) = (&request.dedicated_key, &mut security) {
            let key = Key::from_bytes(key.as_bytes()).map_err(|_| Refusal::Malformed)?;
            context.set_dedicated_key(&key).map_err(Refusal::Ciphering)?;
        }
        let pending = self.authenticate(config, audience, &aarq)?;

        let client_limit = if request.max_pdu == 0 { u16::MAX } else { request.max_pdu };
        let viewer = Viewer {
            client: self.client,
            server: config.server_address.logical,
            audience,
            context: aarq.application_context,
            mechanism: aarq.mechanism,
            conformance,
            max_receive: config.max_pdu,
            max_send: client_limit,
        };
        let aare = accept(&aarq, &viewer, &mut security, header.as_ref(), pending.as_ref())?;
        let association = Association {
            viewer,
            security,
            pending,
            proved: false,
            send_limit: usize::from(client_limit.min(config.max_pdu)),
            get: None,
            read: None,
            set: None,
            action: None,
            long_read: None,
            long_write: None,
        };
        Ok((association, aare))
    }

    /// Whether this client may ask for this kind of association.
    fn admit(&self, aarq: &Aarq<'_>) -> Result<Audience, Refusal> {
        let config = self.meter.config();
        let reject = |diagnostic| Err(Refusal::Rejected(diagnostic, None));
        let context = aarq.application_context;
        let (audience, mechanism, policy) = if self.client == config.client_address {
            (Audience::Client, config.authentication, config.policy())
        } else if self.client == MeterConfig::PUBLIC_CLIENT && config.public_client == PublicClient::Admitted
        {
            (Audience::Everyone, Mechanism::Lowest, Protection::None)
        } else {
            return reject(NO_REASON);
        };
        let ciphering_fits = match audience {
            Audience::Everyone => !context.is_ciphered(),
            Audience::Client if context.is_ciphered() => config.security.is_some(),
            Audience::Client => policy == Protection::None,
        };
        if context.referencing() != config.referencing || !ciphering_fits {
            return reject(CONTEXT_NAME);
        }
        match (mechanism, aarq.mechanism) {
            (wanted, asked) if wanted == asked => Ok(audience),
            (_, Mechanism::Lowest) => reject(Diagnostic::MECHANISM_NAME_REQUIRED),
            _ => reject(Diagnostic::MECHANISM_NAME_NOT_RECOGNISED),
        }
    }

    /// Keys and counters, where the context or the mechanism needs them.
    ///
    /// The association is protected like its InitiateRequest, as long as the meter's policy is satisfied with that.
    fn security_context(
        &self,
        aarq: &Aarq<'_>,
        audience: Audience,
    ) -> Result<Option<SecurityContext>, Refusal> {
        let keyed = aarq.application_context.is_ciphered()
            || matches!(aarq.mechanism, Mechanism::HighGmac | Mechanism::HighSha256);
        let Some(config) =
            self.meter.config().security.as_ref().filter(|_| keyed && audience == Audience::Client)
        else {
            return Ok(None);
        };
        let title_missing = || Refusal::Rejected(CALLING_TITLE, None);
        let peer_title = match aarq.calling_ap_title {
            Some(title) => Some(SystemTitle::try_from(title).map_err(|_| title_missing())?),
            None => None,
        };
        let envelope =
            aarq.user_information.and_then(|apdu| Envelope::parse(apdu).ok().flatten().map(|e| (apdu, e)));
        let protection = match envelope {
            Some((apdu, envelope)) => {
                let control = apdu.get(envelope.body.start).copied().unwrap_or_default();
                Protection::from_bits(control)
            }
            None => config.policy,
        };
        if !protection.covers(config.policy) {
            let (required, received) = (config.policy, protection);
            return Err(Refusal::Ciphering(SecurityError::Downgrade { required, received }));
        }
        let mut settings =
            SecuritySettings::new(config.suite, config.system_title, config.block_cipher_key.clone());
        settings.protection = protection;
        settings.peer_title = peer_title;
        settings.authentication_key = Some(config.authentication_key.clone());
        settings.replay_check =
            ReplayCheck::Strict { last_received: Some(self.meter.model().client_counter()) };
        match SecurityContext::new(settings, Box::new(self.meter.counters())) {
            Ok(context) => Ok(Some(context)),
            Err(SecurityError::TitleCollision(_)) => Err(title_missing()),
            Err(error) => Err(Refusal::Ciphering(error)),
        }
    }

    /// Checks the password, or takes the challenge and makes one.
    fn authenticate(
        &self,
        config: &MeterConfig,
        audience: Audience,
        aarq: &Aarq<'_>,
    ) -> Result<Option<Handshake>, Refusal> {
        let failed = || Refusal::Rejected(Diagnostic::AUTHENTICATION_FAILURE, None);
        let value = aarq.authentication_value.map(|value| value.0);
        match (audience, aarq.mechanism) {
            (Audience::Everyone, _) | (_, Mechanism::Lowest) => Ok(None),
            (_, Mechanism::Low) => {
                let right = value.unwrap_or_default().ct_eq(config.secret.expose());
                if right.into() { Ok(None) } else { Err(failed()) }
            }
            _ => {
                let ctos = value.filter(|value| (8..=64).contains(&value.len())).ok_or_else(failed)?;
                let mut stoc = [0; CHALLENGE_LENGTH];
                getrandom::fill(&mut stoc).map_err(|_| failed())?;
                Ok(Some(Handshake { ctos: ctos.to_vec(), stoc }))
            }
        }
    }

    /// Confirms a release; in a ciphered association only of one who can cipher.
    pub(super) fn release(&mut self, apdu: &mut [u8], replies: &mut Replies) {
        let mut user_information =
            Rlrq::decode(apdu).ok().and_then(|rlrq| rlrq.user_information).map(<[u8]>::to_vec);
        let association = self.association.as_mut();
        let context = association.and_then(|association| association.security.as_mut());
        if let (Some(context), Some(protected)) = (context, &mut user_information) {
            match context.unprotect(protected) {
                Ok(unprotected) => {
                    let header = unprotected.header;
                    self.accept_counter(header.as_ref());
                }
                Err(error) => return refuse_ciphered(&self.meter, replies, error),
            }
        }
        self.association = None;
        let rlre = Rlre { reason: Some(ReleaseReason::NORMAL), user_information: None };
        replies.add(|out| rlre.encode(out));
    }
}

/// The services that both sides have.
fn agree(
    config: &MeterConfig,
    audience: Audience,
    request: &InitiateRequest,
) -> Result<Conformance, Refusal> {
    let refused = |value| Err(Refusal::Rejected(NO_REASON, Some(initiate_error(6, value))));
    if request.version < DLMS_VERSION {
        return refused(1);
    }
    if (1..12).contains(&request.max_pdu) {
        return refused(3);
    }
    let agreed = offer(config, audience).intersection(request.conformance);
    let service = match config.referencing {
        Referencing::LogicalName => Conformance::GET,
        Referencing::ShortName => Conformance::READ,
    };
    if agreed.contains(service) { Ok(agreed) } else { refused(2) }
}

fn offer(config: &MeterConfig, audience: Audience) -> Conformance {
    let mut offer = match config.referencing {
        Referencing::LogicalName => {
            Conformance::GET
                | Conformance::SET
                | Conformance::ACTION
                | Conformance::SELECTIVE_ACCESS
                | Conformance::MULTIPLE_REFERENCES
                | Conformance::PRIORITY_MGMT_SUPPORTED
                | Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ
                | Conformance::BLOCK_TRANSFER_WITH_SET_OR_WRITE
                | Conformance::BLOCK_TRANSFER_WITH_ACTION
        }
        Referencing::ShortName => {
            Conformance::READ
                | Conformance::WRITE
                | Conformance::UNCONFIRMED_WRITE
                | Conformance::PARAMETERIZED_ACCESS
                | Conformance::MULTIPLE_REFERENCES
                | Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ
                | Conformance::BLOCK_TRANSFER_WITH_SET_OR_WRITE
        }
    };
    if config.security.is_some() && audience == Audience::Client {
        offer = offer | Conformance::GENERAL_PROTECTION;
    }
    if config.general_block_transfer.is_some() {
        offer = offer | Conformance::GENERAL_BLOCK_TRANSFER;
    }
    offer
}

fn accept(
    aarq: &Aarq<'_>,
    viewer: &Viewer,
    security: &mut Option<SecurityContext>,
    header: Option<&SecurityHeader>,
    pending: Option<&Handshake>,
) -> Result<Vec<u8>, Refusal> {
    let response = InitiateResponse {
        quality_of_service: None,
        version: DLMS_VERSION,
        conformance: viewer.conformance,
        max_pdu: viewer.max_receive,
        vaa_name: if viewer.has_short_names() { VAA_SHORT_NAME } else { VAA_LOGICAL_NAME },
    };
    let mut user_information = Vec::new();
    response.encode(&mut user_information);
    if let (Some(context), Some(header)) = (security.as_mut(), header) {
        let plain = std::mem::take(&mut user_information);
        context
            .protect_as(header.form, header.key, &plain, &mut user_information)
            .map_err(Refusal::Ciphering)?;
    }
    let title = security.as_ref().map(|context| context.own_title().0);
    let aare = Aare {
        application_context: Some(aarq.application_context),
        result: AssociationResult::Accepted,
        diagnostic: if pending.is_some() { Diagnostic::AUTHENTICATION_REQUIRED } else { Diagnostic::NULL },
        responding_ap_title: title.as_ref().map(<[u8; 8]>::as_slice),
        responding_ae_qualifier: None,
        mechanism: aarq.mechanism.is_high().then_some(aarq.mechanism),
        authentication_value: pending.map(|pending| AuthenticationValue(&pending.stoc)),
        user_information: Some(&user_information),
    };
    let mut out = Vec::new();
    aare.encode(&mut out);
    Ok(out)
}

impl Association {
    /// Whether answers may go out, and requests come in, by general block transfer.
    pub(super) const fn uses_general_blocks(&self) -> bool {
        self.viewer.conformance.contains(Conformance::GENERAL_BLOCK_TRANSFER)
    }

    /// Longest plain APDU to send, bytes.
    pub(super) fn plain_limit(&self) -> usize {
        let overhead = self.security.as_ref().map_or(0, |context| context.protected_length(0));
        self.send_limit.saturating_sub(overhead).max(16)
    }

    /// Pass 3 in, pass 4 out; `None` where the client's proof is wrong, and then the association has to end.
    pub(super) fn prove(&mut self, meter: &Meter, proof: &[u8]) -> Option<Vec<u8>> {
        let Handshake { ctos, stoc } = self.pending.take()?;
        let titles = self.security.as_ref().map(|context| (context.peer_title(), context.own_title()));
        let inputs = HlsInputs {
            secret: meter.config().secret.expose(),
            client_title: titles.and_then(|(client, _)| client),
            server_title: titles.map(|(_, server)| server),
            ctos: &ctos,
            stoc: &stoc,
        };
        let mechanism = self.viewer.mechanism;
        hls::verify_client_reply(mechanism, &inputs, self.security.as_mut(), proof).ok()?;
        if let (Mechanism::HighGmac, Some(counter)) = (mechanism, proof.get(1..5)) {
            let counter = counter.try_into().map_or(0, u32::from_be_bytes);
            let mut model = meter.model();
            // In a ciphered association the APDU around the proof has been counted already.
            if !self.viewer.context.is_ciphered() && counter <= model.client_counter() {
                return None;
            }
            model.accept_client_counter(counter);
        }
        hls::server_reply(mechanism, &inputs, self.security.as_mut()).ok()
    }

    pub(super) fn serve(&mut self, meter: &Meter, apdu: &[u8], reply: &mut Vec<u8>) -> Verdict {
        match self.viewer.context.referencing() {
            Referencing::LogicalName => self.serve_logical_names(meter, apdu, reply),
            Referencing::ShortName => self.serve_short_names(meter, apdu, reply),
        }
    }
}
