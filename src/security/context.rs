//! The security context of one association: protects what we send, unprotects what comes, by one policy (Green Book 9.2.4).
//!
//! Both roles use it: a client's own title is the client's, a simulated meter's the server's.

use std::fmt;

use super::cipher::{AssociatedData, Gcm, TAG_LENGTH, nonce};
use super::control_byte::{KeySet, Protection, SecurityControl, SecuritySuite};
use super::counter::{CounterId, CounterStore, ReceiveCounter, SendCounter};
use super::envelope::{CipherKey, CipheringForm, Envelope, put_header};
use super::error::SecurityError;
use super::key::{Key, SystemTitle};
use super::settings::{ReplayCheck, SecuritySettings, SuiteCheck, TitleCheck, UnverifiedDecryption};
use crate::wire::error::WireErrorKind;
use crate::wire::xdlms::tag;

/// A received APDU without its protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unprotected<'a> {
    /// The plain APDU, from its tag on; never empty.
    pub apdu: &'a [u8],
    /// What covered it; `None` for an APDU that came plain.
    pub header: Option<SecurityHeader>,
}

impl Unprotected<'_> {
    /// Whether a tag was checked and found right.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.header.is_some_and(|header| header.authentication == Authentication::Verified)
    }
}

/// What covered a received APDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityHeader {
    /// The security control byte.
    pub control: SecurityControl,
    /// The outer form.
    pub form: CipheringForm,
    /// The key.
    pub key: CipherKey,
    /// Whose title made the initialisation vector.
    pub sender: SystemTitle,
    /// The invocation counter.
    pub counter: u32,
    /// What the tag said.
    pub authentication: Authentication,
}

/// What an authentication tag said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Authentication {
    /// There was none.
    Absent,
    /// There was one, and no key to check it with.
    Unverified,
    /// It is right.
    Verified,
}

/// The security context of one association.
pub struct SecurityContext {
    suite: SecuritySuite,
    protection: Protection,
    own_title: SystemTitle,
    peer_title: Option<SystemTitle>,
    keys: KeyRing,
    associated: Option<AssociatedData>,
    form: CipheringForm,
    replay_check: ReplayCheck,
    unverified_decryption: UnverifiedDecryption,
    title_check: TitleCheck,
    suite_check: SuiteCheck,
    /// The key that [`Self::protect`] uses.
    sending: CipherKey,
    /// The first counter accepted under the global key.
    first_received: Option<u32>,
    store: Box<dyn CounterStore>,
}

impl SecurityContext {
    /// Makes the keys ready.
    ///
    /// # Errors
    /// `KeyLength`, `AuthenticationKeyMissing` where the policy needs one, `TitleCollision`.
    pub fn new(settings: SecuritySettings, store: Box<dyn CounterStore>) -> Result<Self, SecurityError> {
        let SecuritySettings { suite, protection, own_title, replay_check, .. } = settings;
        let fit = |key: Key| {
            let found = key.len();
            (found == suite.key_length()).then_some(key).ok_or(SecurityError::KeyLength { suite, found })
        };
        let authentication_key = settings.authentication_key.map(fit).transpose()?;
        if protection.authenticates() && authentication_key.is_none() {
            return Err(SecurityError::AuthenticationKeyMissing);
        }
        let ready = |key: Key| KeyState::new(&fit(key)?, own_title);
        let mut keys = KeyRing {
            global: ready(settings.block_cipher_key)?,
            broadcast: settings.broadcast_key.map(ready).transpose()?,
            dedicated: settings.dedicated_key.map(ready).transpose()?,
        };
        if let ReplayCheck::Strict { last_received } = replay_check {
            keys.global.received = ReceiveCounter::above(last_received);
        }
        let mut context = Self {
            suite,
            protection,
            own_title,
            peer_title: None,
            keys,
            associated: authentication_key.as_ref().map(AssociatedData::new),
            form: settings.form,
            replay_check,
            unverified_decryption: settings.unverified_decryption,
            title_check: settings.title_check,
            suite_check: settings.suite_check,
            sending: CipherKey::Global,
            first_received: None,
            store,
        };
        settings.peer_title.map_or(Ok(()), |title| context.set_peer_title(title))?;
        Ok(context)
    }

    /// The policy.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// The suite.
    #[must_use]
    pub const fn suite(&self) -> SecuritySuite {
        self.suite
    }

    /// Our system title.
    #[must_use]
    pub const fn own_title(&self) -> SystemTitle {
        self.own_title
    }

    /// The peer's system title, once it is known.
    #[must_use]
    pub const fn peer_title(&self) -> Option<SystemTitle> {
        self.peer_title
    }

    /// Sets the peer's system title, as the AARE (or for a server the AARQ) tells it.
    ///
    /// # Errors
    /// `TitleCollision` where it is ours: both sides would use the same initialisation vectors.
    pub fn set_peer_title(&mut self, title: SystemTitle) -> Result<(), SecurityError> {
        if title == self.own_title {
            return Err(SecurityError::TitleCollision(title));
        }
        self.peer_title = Some(title);
        Ok(())
    }

    /// Takes the dedicated key that an InitiateRequest proposed (server side).
    ///
    /// # Errors
    /// `KeyLength`.
    pub fn set_dedicated_key(&mut self, key: &Key) -> Result<(), SecurityError> {
        if key.len() != self.suite.key_length() {
            return Err(SecurityError::KeyLength { suite: self.suite, found: key.len() });
        }
        self.keys.dedicated = Some(KeyState::new(key, self.own_title)?);
        Ok(())
    }

    /// Tells that the association is open: from now on [`Self::protect`] uses the dedicated key, where there is one.
    pub fn open(&mut self) {
        if self.keys.dedicated.is_some() {
            self.sending = CipherKey::Dedicated;
        }
    }

    /// Sets the form in which we send, once general-protection is negotiated or not.
    pub fn set_form(&mut self, form: CipheringForm) {
        self.form = form;
    }

    /// Uses no send counter of `key` under `next` any more; a lower value than ours changes nothing. `next` is what the
    /// meter expects next: the value of its counter object plus one, or the value in its exception-response.
    ///
    /// # Errors
    /// `KeyMissing`.
    pub fn raise_send_counter(&mut self, key: CipherKey, next: u32) -> Result<(), SecurityError> {
        self.keys.find(key)?.sent.raise(next);
        Ok(())
    }

    /// Reserves counters now, so that the next [`Self::protect`] waits for no storage.
    ///
    /// # Errors
    /// `CounterExhausted`, `Store`.
    pub fn reserve_counters(&mut self) -> Result<(), SecurityError> {
        self.keys.find(self.sending)?.sent.reserve(&mut *self.store)
    }

    /// The lowest send counter of `key` that is not used yet; `None` without such a key.
    #[must_use]
    pub fn next_send_counter(&self, key: CipherKey) -> Option<u32> {
        self.keys.get(key).map(|state| state.sent.next())
    }

    /// The highest counter accepted from the peer under the global key, for [`ReplayCheck::Strict`] in the next association.
    #[must_use]
    pub const fn last_received(&self) -> Option<u32> {
        self.keys.global.received.last()
    }

    /// The first and the highest counter accepted from the peer under the global key.
    #[must_use]
    pub fn received(&self) -> Option<(u32, u32)> {
        self.first_received.zip(self.last_received())
    }

    /// Length in bytes of a protected APDU whose plain form has `plain` bytes, at most: for the peer's maximum PDU size.
    #[must_use]
    pub const fn protected_length(&self, plain: usize) -> usize {
        match self.protection {
            Protection::None => plain,
            // Tag, general title, length, SC, counter, tag: services without a form of their own take the general one.
            _ => plain.saturating_add(1 + 9 + 5 + BODY_HEADER + TAG_LENGTH),
        }
    }

    /// Appends the protected form of a plain APDU to `out`, with the key and form in use. An initiate APDU is always
    /// protected by the global key. Under [`Protection::None`] the APDU is appended as it is.
    ///
    /// # Errors
    /// `CounterExhausted`, `Store`; nothing is appended then.
    pub fn protect(&mut self, apdu: &[u8], out: &mut Vec<u8>) -> Result<(), SecurityError> {
        match apdu.first() {
            Some(&(tag::INITIATE_REQUEST | tag::INITIATE_RESPONSE)) => self.protect_initiate(apdu, out),
            _ => self.protect_as(self.form, self.sending, apdu, out),
        }
    }

    /// The same for an InitiateRequest or InitiateResponse: glo-initiate-request (21), glo-initiate-response (28).
    ///
    /// # Errors
    /// As [`Self::protect`].
    pub fn protect_initiate(&mut self, apdu: &[u8], out: &mut Vec<u8>) -> Result<(), SecurityError> {
        self.protect_as(CipheringForm::ServiceSpecific, CipherKey::Global, apdu, out)
    }

    /// The same with another form and key, as a server answers in the form of the request.
    ///
    /// # Errors
    /// As [`Self::protect`], and `KeyMissing`.
    pub fn protect_as(
        &mut self,
        form: CipheringForm,
        key: CipherKey,
        apdu: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SecurityError> {
        let &service = apdu.first().ok_or(WireErrorKind::Truncated.at(0))?;
        if self.protection == Protection::None {
            out.extend_from_slice(apdu);
            return Ok(());
        }
        let before = out.len();
        let sealed = self.seal(form, key, service, apdu, out);
        if sealed.is_err() {
            out.truncate(before);
        }
        sealed
    }

    fn seal(
        &mut self,
        form: CipheringForm,
        key: CipherKey,
        service: u8,
        apdu: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SecurityError> {
        let tag_length = if self.protection.authenticates() { TAG_LENGTH } else { 0 };
        let body_length = apdu.len().saturating_add(BODY_HEADER).saturating_add(tag_length);
        if u32::try_from(body_length).is_err() {
            return Err(SecurityError::TooLong);
        }
        let key_set = if key == CipherKey::Broadcast { KeySet::Broadcast } else { KeySet::Unicast };
        let control = SecurityControl { suite: self.suite, protection: self.protection, key_set }.byte();
        let state = self.keys.find(key)?;
        let counter = state.sent.take(&mut *self.store)?;
        let nonce = nonce(self.own_title, counter);

        out.reserve(body_length.saturating_add(GENERAL_HEADER));
        put_header(out, (form, key), self.own_title, service, body_length);
        out.push(control);
        out.extend_from_slice(&counter.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(apdu);
        let text = out.get_mut(start..).unwrap_or_default();
        let tag = match (self.protection, &mut self.associated) {
            (Protection::Authentication, Some(associated)) => {
                Some(state.gcm.seal(&nonce, associated.of(control, apdu), &mut [])?)
            }
            (Protection::AuthenticatedEncryption, Some(associated)) => {
                Some(state.gcm.seal(&nonce, associated.of(control, &[]), text)?)
            }
            (Protection::Encryption, _) => {
                state.gcm.apply_key_stream(&nonce, text)?;
                None
            }
            _ => return Err(SecurityError::AuthenticationKeyMissing),
        };
        if let Some(tag) = tag {
            out.extend_from_slice(&tag);
        }
        Ok(())
    }

    /// Checks a received APDU by the policy and takes its protection off, in place. ConfirmedServiceError (0E) and
    /// exception-response (D8) may always come plain.
    ///
    /// # Errors
    /// Every [`SecurityError`] of reception. No state changes on error.
    pub fn unprotect<'a>(&mut self, apdu: &'a mut [u8]) -> Result<Unprotected<'a>, SecurityError> {
        let Some(envelope) = Envelope::parse(apdu)? else {
            return self.accept_plain(apdu);
        };
        let truncated = WireErrorKind::Truncated.at(envelope.body.end);
        let body = apdu.get_mut(envelope.body.clone()).ok_or(truncated)?;
        let (&mut [control, ref counter @ ..], text) =
            body.split_first_chunk_mut::<BODY_HEADER>().ok_or(truncated)?;
        let counter = u32::from_be_bytes(*counter);
        let control = SecurityControl::from_byte(control)?;
        let (text, tag) = if control.protection.authenticates() {
            let (text, tag) = text.split_last_chunk_mut::<TAG_LENGTH>().ok_or(truncated)?;
            (text, Some(&*tag))
        } else {
            (text, None)
        };

        self.check_control(control)?;
        let key = match (envelope.key, control.key_set) {
            (key, KeySet::Unicast) => key,
            (CipherKey::Dedicated, KeySet::Broadcast) => {
                return Err(WireErrorKind::Invalid("key set of a dedicated key")
                    .at(envelope.body.start)
                    .into());
            }
            (_, KeySet::Broadcast) => CipherKey::Broadcast,
        };
        let sender = self.sender(&envelope)?;
        let replay_check = self.replay_check;
        let state = self.keys.find(key)?;
        if replay_check != ReplayCheck::Off {
            state.received.check(counter)?;
        }

        let nonce = nonce(sender, counter);
        let authentication = match (tag, &mut self.associated) {
            (Some(tag), Some(associated)) if control.protection.encrypts() => {
                state.gcm.open(&nonce, associated.of(control.byte(), &[]), text, tag)?;
                Authentication::Verified
            }
            (Some(tag), Some(associated)) => {
                state.gcm.open(&nonce, associated.of(control.byte(), text), &mut [], tag)?;
                Authentication::Verified
            }
            (Some(_), None) if self.unverified_decryption == UnverifiedDecryption::Refuse => {
                return Err(SecurityError::AuthenticationKeyMissing);
            }
            (tag, _) => {
                if control.protection.encrypts() {
                    state.gcm.apply_key_stream(&nonce, text)?;
                }
                tag.map_or(Authentication::Absent, |_| Authentication::Unverified)
            }
        };
        check_service(text, envelope.service, authentication)?;

        state.received.accept(counter);
        if key == CipherKey::Global {
            self.first_received.get_or_insert(counter);
        }
        if authentication == Authentication::Verified {
            self.peer_title.get_or_insert(sender);
        }
        let header = SecurityHeader { control, form: envelope.form, key, sender, counter, authentication };
        Ok(Unprotected { apdu: text, header: Some(header) })
    }

    fn accept_plain<'a>(&self, apdu: &'a [u8]) -> Result<Unprotected<'a>, SecurityError> {
        match (self.protection, apdu.first()) {
            (Protection::None, _) | (_, Some(&(tag::CONFIRMED_SERVICE_ERROR | tag::EXCEPTION_RESPONSE))) => {
                Ok(Unprotected { apdu, header: None })
            }
            (required, _) => Err(SecurityError::Downgrade { required, received: Protection::None }),
        }
    }

    fn check_control(&self, control: SecurityControl) -> Result<(), SecurityError> {
        let suites_agree = match self.suite_check {
            SuiteCheck::Exact => control.suite == self.suite,
            SuiteCheck::KeyLength => control.suite.key_length() == self.suite.key_length(),
        };
        if !suites_agree {
            return Err(SecurityError::SuiteMismatch { expected: self.suite, received: control.suite });
        }
        // A security header that protects nothing is refused under every policy.
        if control.protection == Protection::None || !control.protection.covers(self.protection) {
            return Err(SecurityError::Downgrade { required: self.protection, received: control.protection });
        }
        Ok(())
    }

    /// Whose title makes the initialisation vector. Our own would let our requests be played back to us as answers.
    fn sender(&self, envelope: &Envelope) -> Result<SystemTitle, SecurityError> {
        let sender = envelope.title.or(self.peer_title).ok_or(SecurityError::TitleMissing)?;
        if sender == self.own_title {
            return Err(SecurityError::TitleCollision(sender));
        }
        match self.peer_title {
            Some(expected) if expected != sender && self.title_check == TitleCheck::Strict => {
                Err(SecurityError::TitleMismatch { expected, received: sender })
            }
            _ => Ok(sender),
        }
    }

    /// The proof of HLS GMAC: SC ‖ IC ‖ tag over SC ‖ AK ‖ challenge. Takes a counter of the global key.
    ///
    /// # Errors
    /// `AuthenticationKeyMissing`, `CounterExhausted`, `Store`.
    pub fn gmac(&mut self, challenge: &[u8]) -> Result<[u8; GMAC_LENGTH], SecurityError> {
        let control = self.gmac_control();
        let associated = self.associated.as_mut().ok_or(SecurityError::AuthenticationKeyMissing)?;
        let counter = self.keys.global.sent.take(&mut *self.store)?;
        let nonce = nonce(self.own_title, counter);
        let tag = self.keys.global.gcm.seal(&nonce, associated.of(control, challenge), &mut [])?;
        let mut proof = [control; GMAC_LENGTH];
        let fields = counter.to_be_bytes().into_iter().chain(tag);
        proof.iter_mut().skip(1).zip(fields).for_each(|(byte, field)| *byte = field);
        Ok(proof)
    }

    /// Checks the peer's proof of HLS GMAC over the challenge that we sent, in constant time.
    ///
    /// Its counter is not held against those of APDUs: the challenge makes it fresh, and in a ciphered association the
    /// APDU around it carries a higher counter and has been accepted before.
    ///
    /// # Errors
    /// `Wire`, `SuiteMismatch`, `TitleMissing`, `AuthenticationKeyMissing`, `TagMismatch`.
    pub fn verify_gmac(&mut self, challenge: &[u8], proof: &[u8]) -> Result<(), SecurityError> {
        let truncated = WireErrorKind::Truncated.at(proof.len());
        let proof: &[u8; GMAC_LENGTH] = proof.try_into().map_err(|_| truncated)?;
        let (&[control, ref counter @ ..], tag) =
            proof.split_first_chunk::<BODY_HEADER>().ok_or(truncated)?;
        let tag = tag.first_chunk().ok_or(truncated)?;
        if control != self.gmac_control() {
            let received = SecurityControl::from_byte(control)?;
            return Err(if received.suite == self.suite {
                WireErrorKind::Invalid("security control byte of a GMAC").at(0).into()
            } else {
                SecurityError::SuiteMismatch { expected: self.suite, received: received.suite }
            });
        }
        let peer = self.peer_title.ok_or(SecurityError::TitleMissing)?;
        let associated = self.associated.as_mut().ok_or(SecurityError::AuthenticationKeyMissing)?;
        let nonce = nonce(peer, u32::from_be_bytes(*counter));
        self.keys.global.gcm.open(&nonce, associated.of(control, challenge), &mut [], tag)
    }

    const fn gmac_control(&self) -> u8 {
        let protection = Protection::Authentication;
        SecurityControl { suite: self.suite, protection, key_set: KeySet::Unicast }.byte()
    }
}

impl fmt::Debug for SecurityContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityContext")
            .field("suite", &self.suite)
            .field("protection", &self.protection)
            .field("own_title", &self.own_title)
            .field("peer_title", &self.peer_title)
            .field("sending", &self.sending)
            .finish_non_exhaustive()
    }
}

/// Length in bytes of a GMAC proof: SC, counter, tag.
pub const GMAC_LENGTH: usize = BODY_HEADER + TAG_LENGTH;

/// SC and counter.
const BODY_HEADER: usize = 5;
/// Tag, title and length of a general form, at most.
const GENERAL_HEADER: usize = 15;

/// One block cipher key, and the counters that belong to it.
struct KeyState {
    gcm: Gcm,
    sent: SendCounter,
    received: ReceiveCounter,
}

impl KeyState {
    fn new(key: &Key, own_title: SystemTitle) -> Result<Self, SecurityError> {
        Ok(Self {
            gcm: Gcm::new(key)?,
            sent: SendCounter::new(CounterId::sending(key, own_title)),
            received: ReceiveCounter::default(),
        })
    }
}

struct KeyRing {
    global: KeyState,
    broadcast: Option<KeyState>,
    dedicated: Option<KeyState>,
}

impl KeyRing {
    const fn get(&self, key: CipherKey) -> Option<&KeyState> {
        match key {
            CipherKey::Global => Some(&self.global),
            CipherKey::Broadcast => self.broadcast.as_ref(),
            CipherKey::Dedicated => self.dedicated.as_ref(),
        }
    }

    fn find(&mut self, key: CipherKey) -> Result<&mut KeyState, SecurityError> {
        match key {
            CipherKey::Global => Some(&mut self.global),
            CipherKey::Broadcast => self.broadcast.as_mut(),
            CipherKey::Dedicated => self.dedicated.as_mut(),
        }
        .ok_or(SecurityError::KeyMissing(key))
    }
}

fn check_service(
    text: &[u8],
    expected: Option<u8>,
    authentication: Authentication,
) -> Result<(), SecurityError> {
    let &received = text.first().ok_or(WireErrorKind::Truncated.at(0))?;
    match expected {
        Some(expected) if expected != received => Err(match authentication {
            Authentication::Verified => SecurityError::ServiceMismatch { expected, received },
            Authentication::Absent | Authentication::Unverified => SecurityError::Garbled,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
