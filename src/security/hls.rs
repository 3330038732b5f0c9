//! High level authentication, passes 3 and 4: each side proves by the other's challenge that it knows the secret (Green Book 9.2.7.4).

use std::fmt;

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::context::SecurityContext;
use super::error::SecurityError;
use super::key::SystemTitle;
use crate::wire::acse::Mechanism;

/// Length in bytes of the challenges that we send: some meters take no other.
pub const CHALLENGE_LENGTH: usize = 16;

/// What both sides know after pass 2.
#[derive(Clone, Copy)]
pub struct HlsInputs<'a> {
    /// The HLS secret (`password`); HLS GMAC has the keys of its context instead.
    pub secret: &'a [u8],
    /// The client's system title; HLS SHA-256 needs both titles.
    pub client_title: Option<SystemTitle>,
    /// The server's system title.
    pub server_title: Option<SystemTitle>,
    /// The client's challenge to the server, CtoS, from the AARQ.
    pub ctos: &'a [u8],
    /// The server's challenge to the client, StoC, from the AARE.
    pub stoc: &'a [u8],
}

impl fmt::Debug for HlsInputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlsInputs")
            .field("secret", &"***")
            .field("client_title", &self.client_title)
            .field("server_title", &self.server_title)
            .finish_non_exhaustive()
    }
}

/// f(StoC), which the client sends in pass 3. HLS GMAC takes a counter from the context; the others need no context.
///
/// # Errors
/// `ChallengeReflected`, `ChallengeLength`, `UnsupportedMechanism`, `ContextMissing`, `TitleMissing`, and of HLS GMAC
/// those of [`SecurityContext::gmac`].
pub fn client_reply(
    mechanism: Mechanism,
    inputs: &HlsInputs<'_>,
    context: Option<&mut SecurityContext>,
) -> Result<Vec<u8>, SecurityError> {
    prove(mechanism, &Direction::from_client(inputs)?, context)
}

/// Checks f(CtoS), which the server returned in pass 4, in constant time.
///
/// # Errors
/// `ProofMismatch` for every wrong proof; else as [`client_reply`].
pub fn verify_server_reply(
    mechanism: Mechanism,
    inputs: &HlsInputs<'_>,
    context: Option<&mut SecurityContext>,
    proof: &[u8],
) -> Result<(), SecurityError> {
    verify(mechanism, &Direction::from_server(inputs)?, context, proof)
}

/// f(CtoS), which the server returns in pass 4.
///
/// # Errors
/// As [`client_reply`].
pub fn server_reply(
    mechanism: Mechanism,
    inputs: &HlsInputs<'_>,
    context: Option<&mut SecurityContext>,
) -> Result<Vec<u8>, SecurityError> {
    prove(mechanism, &Direction::from_server(inputs)?, context)
}

/// Checks f(StoC), which the client sent in pass 3, in constant time.
///
/// # Errors
/// As [`verify_server_reply`].
pub fn verify_client_reply(
    mechanism: Mechanism,
    inputs: &HlsInputs<'_>,
    context: Option<&mut SecurityContext>,
    proof: &[u8],
) -> Result<(), SecurityError> {
    verify(mechanism, &Direction::from_client(inputs)?, context, proof)
}

/// The inputs as they stand for who proves and who checks.
struct Direction<'a> {
    secret: &'a [u8],
    prover_title: Option<SystemTitle>,
    verifier_title: Option<SystemTitle>,
    /// What the prover has to answer.
    challenge: &'a [u8],
    /// What the prover itself asked.
    prover_challenge: &'a [u8],
}

impl<'a> Direction<'a> {
    fn from_client(inputs: &HlsInputs<'a>) -> Result<Self, SecurityError> {
        check_challenges(inputs)?;
        let HlsInputs { secret, client_title, server_title, ctos, stoc } = *inputs;
        Ok(Self {
            secret,
            prover_title: client_title,
            verifier_title: server_title,
            challenge: stoc,
            prover_challenge: ctos,
        })
    }

    fn from_server(inputs: &HlsInputs<'a>) -> Result<Self, SecurityError> {
        check_challenges(inputs)?;
        let HlsInputs { secret, client_title, server_title, ctos, stoc } = *inputs;
        Ok(Self {
            secret,
            prover_title: server_title,
            verifier_title: client_title,
            challenge: ctos,
            prover_challenge: stoc,
        })
    }
}

fn check_challenges(inputs: &HlsInputs<'_>) -> Result<(), SecurityError> {
    for challenge in [inputs.ctos, inputs.stoc] {
        if !(8..=64).contains(&challenge.len()) {
            return Err(SecurityError::ChallengeLength(challenge.len()));
        }
    }
    if inputs.ctos == inputs.stoc { Err(SecurityError::ChallengeReflected) } else { Ok(()) }
}

fn prove(
    mechanism: Mechanism,
    direction: &Direction<'_>,
    context: Option<&mut SecurityContext>,
) -> Result<Vec<u8>, SecurityError> {
    match mechanism {
        Mechanism::HighGmac => {
            let context = context.ok_or(SecurityError::ContextMissing(mechanism))?;
            context.gmac(direction.challenge).map(Vec::from)
        }
        _ => digest(mechanism, direction),
    }
}

fn verify(
    mechanism: Mechanism,
    direction: &Direction<'_>,
    context: Option<&mut SecurityContext>,
    proof: &[u8],
) -> Result<(), SecurityError> {
    if mechanism == Mechanism::HighGmac {
        let context = context.ok_or(SecurityError::ContextMissing(mechanism))?;
        return context.verify_gmac(direction.challenge, proof).map_err(|error| match error {
            SecurityError::TagMismatch | SecurityError::Wire(_) => SecurityError::ProofMismatch,
            other => other,
        });
    }
    let expected = Zeroizing::new(digest(mechanism, direction)?);
    if expected.ct_eq(proof).into() { Ok(()) } else { Err(SecurityError::ProofMismatch) }
}

/// The proofs that are functions of secret, titles and challenges alone.
fn digest(mechanism: Mechanism, direction: &Direction<'_>) -> Result<Vec<u8>, SecurityError> {
    let &Direction { secret, prover_title, verifier_title, challenge, prover_challenge } = direction;
    match mechanism {
        Mechanism::High => aes_ecb(secret, challenge),
        Mechanism::HighMd5 => Ok(Md5::new().chain_update(challenge).chain_update(secret).finalize().to_vec()),
        Mechanism::HighSha1 => {
            Ok(Sha1::new().chain_update(challenge).chain_update(secret).finalize().to_vec())
        }
        Mechanism::HighSha256 => {
            let prover = prover_title.ok_or(SecurityError::TitleMissing)?;
            let verifier = verifier_title.ok_or(SecurityError::TitleMissing)?;
            Ok(Sha256::new()
                .chain_update(secret)
                .chain_update(prover.0)
                .chain_update(verifier.0)
                .chain_update(challenge)
                .chain_update(prover_challenge)
                .finalize()
                .to_vec())
        }
        Mechanism::Lowest | Mechanism::Low | Mechanism::HighGmac | Mechanism::HighEcdsa => {
            Err(SecurityError::UnsupportedMechanism(mechanism))
        }
    }
}

/// The common form of the manufacturer-specific mechanism: AES-128-ECB of the challenge under the secret, both padded
/// with zeros; of a secret over 16 bytes the first 16 count.
fn aes_ecb(secret: &[u8], challenge: &[u8]) -> Result<Vec<u8>, SecurityError> {
    let mut key = Zeroizing::new([0u8; 16]);
    key.iter_mut().zip(secret).for_each(|(byte, secret)| *byte = *secret);
    let unsupported = SecurityError::UnsupportedMechanism(Mechanism::High);
    let cipher = Aes128::new_from_slice(key.as_slice()).map_err(|_| unsupported)?;
    let mut proof = Vec::with_capacity(challenge.len().next_multiple_of(16));
    for chunk in challenge.chunks(16) {
        let mut block = Array([0u8; 16]);
        block.iter_mut().zip(chunk).for_each(|(byte, challenge)| *byte = *challenge);
        cipher.encrypt_block(&mut block);
        proof.extend_from_slice(&block);
    }
    Ok(proof)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: HlsInputs<'static> = HlsInputs {
        secret: b"12345678",
        client_title: Some(SystemTitle(*b"MMM\0\0\xBC\x61\x4E")),
        server_title: Some(SystemTitle(*b"MMM\0\0\0\0\x01")),
        ctos: b"K56iVagY",
        stoc: b"P6wRJ21F",
    };
    const DIGESTS: [Mechanism; 4] =
        [Mechanism::High, Mechanism::HighMd5, Mechanism::HighSha1, Mechanism::HighSha256];

    #[test]
    fn each_side_accepts_the_other_and_not_itself() {
        for mechanism in DIGESTS {
            let client = client_reply(mechanism, &INPUTS, None).unwrap();
            let server = server_reply(mechanism, &INPUTS, None).unwrap();
            assert_eq!(verify_client_reply(mechanism, &INPUTS, None, &client), Ok(()));
            assert_eq!(verify_server_reply(mechanism, &INPUTS, None, &server), Ok(()));
            let wrong = Err(SecurityError::ProofMismatch);
            assert_eq!(verify_server_reply(mechanism, &INPUTS, None, &client), wrong);
            assert_eq!(verify_server_reply(mechanism, &INPUTS, None, &server[1..]), wrong);
            assert_eq!(verify_server_reply(mechanism, &INPUTS, None, &[]), wrong);
            let other = HlsInputs { secret: b"12345679", ..INPUTS };
            assert_eq!(verify_server_reply(mechanism, &other, None, &server), wrong);
        }
    }

    #[test]
    fn reflected_short_and_long_challenges_are_refused() {
        let reflected = HlsInputs { stoc: INPUTS.ctos, ..INPUTS };
        for (inputs, error) in [
            (reflected, SecurityError::ChallengeReflected),
            (HlsInputs { stoc: b"", ..INPUTS }, SecurityError::ChallengeLength(0)),
            (HlsInputs { stoc: b"1234567", ..INPUTS }, SecurityError::ChallengeLength(7)),
            (HlsInputs { stoc: &[1; 65], ..INPUTS }, SecurityError::ChallengeLength(65)),
        ] {
            for mechanism in Mechanism::ALL {
                assert_eq!(client_reply(mechanism, &inputs, None), Err(error));
                assert_eq!(verify_server_reply(mechanism, &inputs, None, &[0; 16]), Err(error));
            }
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for mechanism in [Mechanism::Lowest, Mechanism::Low, Mechanism::HighEcdsa] {
            let refused = SecurityError::UnsupportedMechanism(mechanism);
            assert_eq!(client_reply(mechanism, &INPUTS, None), Err(refused));
            assert_eq!(verify_server_reply(mechanism, &INPUTS, None, &[0; 64]), Err(refused));
        }
        let missing = SecurityError::ContextMissing(Mechanism::HighGmac);
        assert_eq!(client_reply(Mechanism::HighGmac, &INPUTS, None), Err(missing));
        let untitled = HlsInputs { server_title: None, ..INPUTS };
        assert_eq!(client_reply(Mechanism::HighSha256, &untitled, None), Err(SecurityError::TitleMissing));
    }

    #[test]
    fn the_secret_does_not_print() {
        let shown = format!("{INPUTS:?}");
        assert!(shown.contains("***") && !shown.contains("12345678") && !shown.contains("49, 50"));
    }
}
