//! The application association (ACSE, Green Book clause 9.3): proposal, verdict, four-pass authentication.
//!
//! One state is one type and each transition consumes it: an [`AwaitAare`] that the meter accepts becomes either
//! [`Negotiated`] or an [`AwaitHlsReply`], and that only the right proof turns into [`Negotiated`].

use zeroize::Zeroizing;

use super::error::SessionError;
use super::exchange::{ExchangeError, Outcome, Service};
use crate::security::hls::{self, HlsInputs};
use crate::security::{CipheringForm, Key, SecurityContext, SecurityError, SystemTitle};
use crate::wire::acse::{
    self, Aare, Aarq, ApplicationContext, AssociationResult, AuthenticationValue, Diagnostic, Mechanism,
    Referencing, ReleaseReason, Rlrq,
};
use crate::wire::data::Data;
use crate::wire::obis::Obis;
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::fault::{ConfirmedServiceError, ExceptionResponse, ServiceError};
use crate::wire::xdlms::initiate::{DedicatedKey, InitiateRequest, InitiateResponse};
use crate::wire::xdlms::sn::VariableAccess;
use crate::wire::xdlms::{DataAccessResult, MethodDescriptor, tag};

/// Short name of `reply_to_HLS_authentication`: method 8 of the association at FA00.
const REPLY_TO_HLS: u16 = 0xFA58;

/// What an association is to be.
#[derive(Clone, Debug)]
pub struct AssociationSettings {
    /// Logical or short names.
    pub referencing: Referencing,
    /// Whether APDUs are ciphered.
    pub ciphering: Ciphering,
    /// How the partners authenticate each other.
    pub mechanism: Mechanism,
    /// Password (low) or secret (high); not used by GMAC.
    pub secret: Zeroizing<Vec<u8>>,
    /// Our system title: said where ciphering or the mechanism needs it.
    pub own_title: Option<SystemTitle>,
    /// The meter's system title, for meters that do not say it.
    pub server_title: Option<SystemTitle>,
    /// A key for this association alone; the security context holds it too.
    pub dedicated_key: Option<Key>,
    /// Services proposed.
    pub conformance: Conformance,
    /// Longest APDU that we take, in bytes; 0 for no limit.
    pub max_pdu: u16,
    /// The association object that takes our proof, usually 0-0:40.0.0*255.
    pub hls_object: Obis,
}

/// Whether an application context is ciphered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ciphering {
    /// APDUs go as they are.
    Plain,
    /// APDUs are protected by the security context.
    Ciphered,
}

/// What both partners agreed on.
#[derive(Clone, Debug, PartialEq)]
pub struct Negotiated {
    /// Services that both know.
    pub conformance: Conformance,
    /// Longest APDU that the meter takes, in bytes; `None` for no limit.
    pub max_send_pdu: Option<u16>,
    /// The meter's system title, where it said one.
    pub server_title: Option<SystemTitle>,
    /// The mechanism that authenticated us.
    pub mechanism: Mechanism,
}

/// What an answer of the meter comes to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The association is open.
    Associated(Box<Negotiated>),
    /// Our proof is due: run this service.
    Authenticate(AwaitHlsReply, Service),
}

/// An association that has been proposed.
#[derive(Debug)]
pub(super) struct AwaitAare {
    challenge: Vec<u8>,
}

/// An association that waits for the meter's proof.
#[derive(Debug)]
pub(super) struct AwaitHlsReply {
    negotiated: Box<Negotiated>,
    challenge: Vec<u8>,
    server_challenge: Vec<u8>,
    attempt: ProofBy,
    /// The system title that the meter sent.
    sent_title: Option<SystemTitle>,
}

/// The service that carries our proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProofBy {
    Action,
    /// Short names, as a parameterised Read: the meter's proof comes back with it.
    Read,
    /// Short names, as a Write, for meters that refuse the Read.
    Write,
}

impl AssociationSettings {
    /// Whether APDUs are ciphered.
    #[must_use]
    pub fn is_ciphered(&self) -> bool {
        self.ciphering == Ciphering::Ciphered
    }

    /// The application context proposed.
    #[must_use]
    pub const fn application_context(&self) -> ApplicationContext {
        match (self.referencing, self.ciphering) {
            (Referencing::LogicalName, Ciphering::Plain) => ApplicationContext::LogicalName,
            (Referencing::LogicalName, Ciphering::Ciphered) => ApplicationContext::LogicalNameCiphered,
            (Referencing::ShortName, Ciphering::Plain) => ApplicationContext::ShortName,
            (Referencing::ShortName, Ciphering::Ciphered) => ApplicationContext::ShortNameCiphered,
        }
    }

    fn says_title(&self) -> bool {
        self.is_ciphered() || matches!(self.mechanism, Mechanism::HighGmac | Mechanism::HighSha256)
    }

    /// Appends the InitiateRequest, protected where the context is ciphered.
    fn put_initiate_request(
        &self,
        dedicated_key: Option<&Key>,
        security: Option<&mut SecurityContext>,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let mut request = InitiateRequest::new(self.conformance, self.max_pdu);
        let Some(security) = security.filter(|_| self.is_ciphered()) else {
            request.encode(out);
            return Ok(());
        };
        request.dedicated_key = dedicated_key.map(|key| DedicatedKey::new(key.expose()));
        let mut plain = Zeroizing::new(Vec::with_capacity(48));
        request.encode(&mut plain);
        Ok(security.protect_initiate(&plain, out)?)
    }
}

impl AwaitAare {
    /// Proposes: appends the AARQ to `out`.
    pub(super) fn propose(
        settings: &AssociationSettings,
        challenge: &[u8],
        security: Option<&mut SecurityContext>,
        out: &mut Vec<u8>,
    ) -> Result<Self, SessionError> {
        let mut initiate = Vec::with_capacity(64);
        settings.put_initiate_request(settings.dedicated_key.as_ref(), security, &mut initiate)?;
        let title = settings.own_title.as_ref().filter(|_| settings.says_title());
        Aarq {
            application_context: settings.application_context(),
            calling_ap_title: title.map(|title| title.0.as_slice()),
            calling_ae_qualifier: None,
            calling_ae_invocation_id: None,
            mechanism: settings.mechanism,
            authentication_value: match settings.mechanism {
                Mechanism::Lowest => None,
                Mechanism::Low => Some(AuthenticationValue(&settings.secret)),
                _ => Some(AuthenticationValue(challenge)),
            },
            user_information: Some(&initiate),
        }
        .encode(out);
        Ok(Self { challenge: challenge.to_vec() })
    }

    /// Judges the answer.
    pub(super) fn on_response(
        self,
        settings: &AssociationSettings,
        security: Option<&mut SecurityContext>,
        apdu: &[u8],
    ) -> Result<Verdict, SessionError> {
        let aare = match apdu.first().copied().unwrap_or_default() {
            acse::AARE => Aare::decode(apdu).map_err(SessionError::Acse)?,
            tag::CONFIRMED_SERVICE_ERROR => {
                let error = ConfirmedServiceError::decode(apdu).map_err(SessionError::Acse)?;
                return Err(SessionError::InitiateError(error));
            }
            tag::EXCEPTION_RESPONSE => {
                let exception = ExceptionResponse::decode(apdu).map_err(SessionError::Acse)?;
                return Err(SessionError::InitiateException(exception));
            }
            other => return Err(SessionError::UnexpectedApdu(other)),
        };
        if aare.result != AssociationResult::Accepted {
            return Err(rejection(&aare));
        }
        if aare.application_context.is_some_and(|context| context != settings.application_context()) {
            return Err(SessionError::ApplicationContext);
        }
        let sent_title = aare.responding_ap_title.and_then(|title| title.try_into().ok()).map(SystemTitle);
        // A configured title is for meters that do not say theirs, or say it wrong.
        let server_title = settings.server_title.or(sent_title);
        let mut security = security;
        if let (Some(security), Some(title)) = (security.as_deref_mut(), server_title) {
            security.set_peer_title(title)?;
        }
        let initiate = initiate_response(settings, security.as_deref_mut(), aare.user_information)
            .map_err(|error| blame_title(error, settings.server_title, sent_title))?;
        if let Some(security) = security.as_deref_mut()
            && !initiate.conformance.contains(Conformance::GENERAL_PROTECTION)
        {
            security.set_form(CipheringForm::ServiceSpecific);
        }
        let negotiated = Box::new(Negotiated {
            conformance: initiate.conformance,
            // 1 to 11 cannot hold any response: such a meter means its data link's limit.
            max_send_pdu: Some(initiate.max_pdu).filter(|&size| size >= 12 && size != u16::MAX),
            server_title,
            mechanism: settings.mechanism,
        });
        match (settings.mechanism.is_high(), aare.authentication_value) {
            (false, _) if aare.diagnostic == Diagnostic::AUTHENTICATION_REQUIRED => {
                Err(SessionError::HlsRequired(settings.mechanism))
            }
            (false, _) => {
                if let Some(security) = security {
                    security.open();
                }
                Ok(Verdict::Associated(negotiated))
            }
            (true, None) => Err(SessionError::NoChallenge),
            (true, Some(AuthenticationValue(server_challenge))) => {
                if let Some(security) = security.as_deref_mut() {
                    security.open();
                }
                let attempt = match settings.referencing {
                    Referencing::LogicalName => ProofBy::Action,
                    Referencing::ShortName => ProofBy::Read,
                };
                let awaiting = AwaitHlsReply {
                    negotiated,
                    challenge: self.challenge,
                    server_challenge: server_challenge.to_vec(),
                    attempt,
                    sent_title,
                };
                awaiting.prove(settings, security)
            }
        }
    }
}

/// A check that fails under another system title than the meter sent most likely fails for that.
fn blame_title(
    error: SessionError,
    configured: Option<SystemTitle>,
    sent: Option<SystemTitle>,
) -> SessionError {
    match (error, configured, sent) {
        (
            SessionError::Security(
                SecurityError::TagMismatch | SecurityError::Garbled | SecurityError::ProofMismatch,
            ),
            Some(expected),
            Some(received),
        ) if expected != received => SecurityError::TitleMismatch { expected, received }.into(),
        _ => error,
    }
}

/// The rejection, with the initiate error where the meter sent one and nothing better.
fn rejection(aare: &Aare<'_>) -> SessionError {
    let initiate_error = aare
        .user_information
        .filter(|apdu| apdu.first() == Some(&tag::CONFIRMED_SERVICE_ERROR))
        .and_then(|apdu| ConfirmedServiceError::decode(apdu).ok());
    match initiate_error {
        Some(error) if aare.diagnostic.value < 2 => SessionError::InitiateError(error),
        _ => SessionError::Rejected(aare.diagnostic),
    }
}

fn initiate_response(
    settings: &AssociationSettings,
    security: Option<&mut SecurityContext>,
    user_information: Option<&[u8]>,
) -> Result<InitiateResponse, SessionError> {
    let mut apdu = user_information.unwrap_or_default().to_vec();
    let apdu = match security {
        Some(security) if settings.is_ciphered() => security.unprotect(&mut apdu)?.apdu,
        _ => &apdu,
    };
    match apdu.first().copied().unwrap_or_default() {
        tag::INITIATE_RESPONSE => InitiateResponse::decode(apdu).map_err(SessionError::Acse),
        tag::CONFIRMED_SERVICE_ERROR => {
            let error = ConfirmedServiceError::decode(apdu).map_err(SessionError::Acse)?;
            Err(SessionError::InitiateError(error))
        }
        other => Err(SessionError::UnexpectedApdu(other)),
    }
}

impl AwaitHlsReply {
    /// What was negotiated so far.
    pub(super) fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    fn inputs<'a>(&'a self, settings: &'a AssociationSettings) -> HlsInputs<'a> {
        HlsInputs {
            secret: &settings.secret,
            client_title: settings.own_title,
            server_title: self.negotiated.server_title,
            ctos: &self.challenge,
            stoc: &self.server_challenge,
        }
    }

    /// Pass 3: our proof, in the service that this attempt uses.
    fn prove(
        self,
        settings: &AssociationSettings,
        security: Option<&mut SecurityContext>,
    ) -> Result<Verdict, SessionError> {
        let proof = hls::client_reply(settings.mechanism, &self.inputs(settings), security)?;
        let proof = Data::OctetString(proof);
        let service = match self.attempt {
            ProofBy::Action => {
                let method =
                    MethodDescriptor { class_id: 15, instance_id: settings.hls_object, method_id: 1 };
                Service::Action(method, Some(proof))
            }
            ProofBy::Read => {
                let access =
                    VariableAccess::Parameterised { name: REPLY_TO_HLS, selector: 0, parameter: proof };
                Service::Read(vec![access])
            }
            ProofBy::Write => Service::Write(vec![(VariableAccess::Name(REPLY_TO_HLS), proof)]),
        };
        Ok(Verdict::Authenticate(self, service))
    }

    /// Pass 3 failed as a service: a meter that does not know the Read may still take our proof by Write.
    pub(super) fn on_failure(
        mut self,
        settings: &AssociationSettings,
        security: Option<&mut SecurityContext>,
        error: ExchangeError,
    ) -> Result<Verdict, SessionError> {
        let is_unknown_service = match error {
            // service, definition
            ExchangeError::ServiceError(error) => matches!(error.class, 3 | 4),
            ExchangeError::Exception(exception) => exception.service == ServiceError::ServiceNotSupported,
            _ => false,
        };
        if self.attempt == ProofBy::Read && is_unknown_service {
            self.attempt = ProofBy::Write;
            return self.prove(settings, security);
        }
        Err(error.into())
    }

    /// Pass 4: the meter's proof.
    pub(super) fn on_outcome(
        mut self,
        settings: &AssociationSettings,
        security: Option<&mut SecurityContext>,
        outcome: Outcome,
    ) -> Result<Verdict, SessionError> {
        let returned = match outcome {
            Outcome::Action(DataAccessResult::Success, returned) => returned,
            Outcome::Action(refused, _) => return Err(SessionError::HlsRefused(refused)),
            Outcome::GetList(results) => match results.into_iter().next() {
                // This meter takes the proof by Write only; it has not judged it yet.
                Some(Err(refused)) if self.attempt == ProofBy::Read && !is_denial(refused) => {
                    self.attempt = ProofBy::Write;
                    return self.prove(settings, security);
                }
                Some(Err(refused)) => return Err(SessionError::HlsRefused(refused)),
                returned => returned,
            },
            Outcome::Set(results) => match results.first() {
                // A WriteResponse has no room for the meter's proof.
                Some(DataAccessResult::Success) => {
                    tracing::warn!("the meter took our proof by Write, which leaves no room for its own");
                    return Ok(Verdict::Associated(self.negotiated));
                }
                Some(&refused) => return Err(SessionError::HlsRefused(refused)),
                None => None,
            },
            Outcome::Get(result) => Some(result),
            Outcome::ActionList(_) => None,
        };
        let proof = match returned {
            Some(Ok(Data::OctetString(proof))) => proof,
            Some(Err(refused)) => return Err(SessionError::HlsRefused(refused)),
            _ => return Err(SessionError::NoProof),
        };
        hls::verify_server_reply(settings.mechanism, &self.inputs(settings), security, &proof)
            .map_err(|error| blame_title(error.into(), settings.server_title, self.sent_title))?;
        Ok(Verdict::Associated(self.negotiated))
    }
}

/// Whether a refusal is about us rather than about the service.
const fn is_denial(refused: DataAccessResult) -> bool {
    matches!(refused, DataAccessResult::ReadWriteDenied | DataAccessResult::ScopeOfAccessViolated)
}

/// Appends an RLRQ, with the protected InitiateRequest where the context is ciphered.
pub(super) fn put_release(
    settings: &AssociationSettings,
    security: Option<&mut SecurityContext>,
    out: &mut Vec<u8>,
) -> Result<(), SessionError> {
    let mut initiate = Vec::new();
    if settings.is_ciphered() {
        settings.put_initiate_request(None, security, &mut initiate)?;
    }
    Rlrq {
        reason: Some(ReleaseReason::NORMAL),
        user_information: Some(initiate.as_slice()).filter(|apdu| !apdu.is_empty()),
    }
    .encode(out);
    Ok(())
}
