//! The TLS configuration towards the broker: whom to trust, and who we are.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
    let (trusted, roots) = match &settings.ca_file {
        Some(path) => {
            let trusted = certificates(path).map_err(|why| ca(format!("{}: {why}", path.display())))?;
            let roots = authorities_of(path, &trusted)?;
            (trusted, roots)
        }
        None => (Vec::new(), authorities_of_the_system()?),
    };
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| ca(format!("the authorities are not usable: {error}")))?;
    let name = settings.server_name.as_ref().map(|name| {
        ServerName::try_from(name.clone())
            .map_err(|_| Report::new(Code::TlsName, Layer::Mqtt, format!("{name:?} is no server name")))
    });
    let verifier = BrokerVerifier { name: name.transpose()?, trusted, usual };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
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

fn authorities_of(path: &Path, trusted: &[CertificateDer<'static>]) -> Result<RootCertStore, Report> {
    let mut roots = RootCertStore::empty();
    for (place, certificate) in trusted.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|_| {
            let number = place + 1;
            ca(format!("{}: certificate {number} of {} in it cannot be read", path.display(), trusted.len()))
        })?;
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
    let text = bounded::regular_file(path).map_err(|error| error.to_string())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found.map_err(|error| reason(&error)) {
        Ok(found) if found.is_empty() => Err("no certificate in PEM form in it".to_owned()),
        found => found,
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = bounded::regular_file(path).map_err(|error| error.to_string())?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if text.windows(ENCRYPTED.len()).any(|bytes| bytes == ENCRYPTED) {
            return "the key is encrypted: decrypt it (openssl pkey), and protect the file by its mode"
                .to_owned();
        }
        reason(&error)
    })
}

/// In either form of an encrypted key: `BEGIN ENCRYPTED PRIVATE KEY`, `Proc-Type: 4,ENCRYPTED`.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// The parser's own words may quote the file, which may be a key.
fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "no private key in PEM form in it".to_owned(),
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

/// Verifies all that is usual, against the configured name where there is one. A broker whose certificate stands in
/// `ca_file` itself is who it should be, even if that is one of an authority, as `openssl req -x509` makes them.
#[derive(Debug)]
struct BrokerVerifier {
    /// Instead of the URL's host.
    name: Option<ServerName<'static>>,
    /// The certificates of `ca_file`.
    trusted: Vec<CertificateDer<'static>>,
    usual: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for BrokerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host_of_the_url: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = self.name.as_ref().unwrap_or(host_of_the_url);
        match self.usual.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            // Said after the validity was found good and before the name is looked at.
            Err(error) if is_of_an_authority(&error) && self.trusted.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Whether all that is wrong with a server's certificate is that it may sign others.
fn is_of_an_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n";

    fn message(write: impl FnOnce(&Path) -> TlsSettings) -> String {
        let folder = tempfile::tempdir().unwrap();
        client_config(&write(folder.path())).unwrap_err().message
    }

    fn file(folder: &Path, name: &str, text: &str) -> Option<PathBuf> {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    }

    #[test]
    fn a_bad_certificate_of_a_bundle_is_named_by_its_place() {
        let good = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        let bundle = format!("{good}{CERTIFICATE}AAAA\n-----END CERTIFICATE-----\n{good}");
        let message = message(|folder| TlsSettings {
            ca_file: file(folder, "bundle.pem", &bundle),
            ..TlsSettings::default()
        });
        assert!(message.ends_with("bundle.pem: certificate 2 of 3 in it cannot be read"), "{message}");
    }

    #[test]
    fn an_encrypted_key_is_said_to_be_one() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        for key in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGj\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n",
        ] {
            let message = message(|folder| TlsSettings {
                ca_file: file(folder, "ca.pem", &made.cert.pem()),
                cert_file: file(folder, "cert.pem", &made.cert.pem()),
                key_file: file(folder, "key.pem", key),
                server_name: None,
            });
            assert!(message.contains("key.pem: the key is encrypted"), "{message}");
        }
    }
}
