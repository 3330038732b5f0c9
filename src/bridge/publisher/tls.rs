//! The TLS configuration towards the broker: whom to trust, and who we are.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::settings::TlsSettings;
use crate::bridge::bounded;
use crate::error::{Code, Layer, Report};

/// Reads the files and builds the configuration: TLS 1.2 and 1.3, always verified.
///
/// # Errors
/// `TLS_CA` or `TLS_CLIENT_CERT` with the file at fault; never with a byte of its contents.
pub(super) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, Report> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?;
    let roots = Arc::new(match &settings.ca_file {
        Some(path) => authorities_of(path)?,
        None => authorities_of_the_system()?,
    });
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
        .build()
        .map_err(|error| ca(format!("the authorities are not usable: {error}")))?;
    let builder = match &settings.server_name {
        None => builder.with_webpki_verifier(verifier),
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|_| {
                Report::new(Code::TlsName, Layer::Mqtt, format!("{name:?} is no server name"))
            })?;
            let verifier = Arc::new(OtherName { name, verifier });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    let config = match (&settings.cert_file, &settings.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates(cert).map_err(|error| identity(cert, &error))?;
            let key = private_key(key).map_err(|error| identity(key, &error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| identity(cert, &format!("certificate and key do not fit: {error}")))?
        }
        _ => {
            let message = "a client certificate needs both cert_file and key_file";
            return Err(Report::new(Code::TlsClientCert, Layer::Mqtt, message));
        }
    };
    Ok(Arc::new(config))
}

fn authorities_of(path: &Path) -> Result<RootCertStore, Report> {
    let fault = |why: &str| ca(format!("{}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path).map_err(|why| fault(&why))? {
        roots.add(certificate).map_err(|error| fault(&error.to_string()))?;
    }
    Ok(roots)
}

fn authorities_of_the_system() -> Result<RootCertStore, Report> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(ca(format!("the system's store of certificate authorities is empty{why}"))
            .with_hint("install ca-certificates, or set mqtt.tls.ca_file or SSL_CERT_FILE"));
    }
    Ok(roots)
}

/// At least one certificate of a PEM file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = bounded::file(path).map_err(|error| error.to_string())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found.map_err(|error| reason(&error)) {
        Ok(found) if found.is_empty() => Err("no certificate in it".to_owned()),
        found => found,
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = bounded::file(path).map_err(|error| error.to_string())?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| reason(&error))
}

/// The parser's own words may quote the file, which may be a key.
fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "nothing of that kind in it".to_owned(),
        _ => "not a valid PEM file".to_owned(),
    }
}

fn ca(message: String) -> Report {
    Report::new(Code::TlsCa, Layer::Mqtt, message)
}

fn identity(path: &Path, why: &str) -> Report {
    Report::new(Code::TlsClientCert, Layer::Mqtt, format!("{}: {why}", path.display()))
}

fn internal(error: &rustls::Error) -> Report {
    Report::new(Code::Internal, Layer::Mqtt, format!("TLS cannot be set up: {error}"))
}

/// Verifies all that is usual, but against the configured name instead of the URL's host.
#[derive(Debug)]
struct OtherName {
    name: ServerName<'static>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for OtherName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host_of_the_url: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
