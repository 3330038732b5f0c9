//! What a configuration names outside itself: secrets, certificates, and who may read them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path as FilePath;

use super::document::mqtt;
use super::model::Config;
use super::path::Path;
use super::problem::Problem;
use super::secret::{Secret, SecretError};
use crate::bridge::bounded;

/// Looks at every secret and file that a configuration names, and at the configuration's own file if it has one.
///
/// What can't be found is a warning, for it may come later (a volume, a variable of the service); a key of the wrong
/// size is an error.
#[must_use]
pub fn inspect(config: &Config, file: Option<&FilePath>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let root = Path::root();
    let mut holds_secrets = false;
    let mqtt = root.key("mqtt");
    if let Some(password) = &config.mqtt.password {
        holds_secrets |= password.is_plain();
        secret(password, &mqtt.key("password"), |secret| secret.password().map(|_| ()), &mut problems);
    }
    certificates(config, &mqtt.key("tls"), &mut problems);
    for (index, device) in config.devices.values().enumerate() {
        let at = root.key("devices").index(index);
        let security = &device.security;
        let keys = [
            ("authentication_key", &security.authentication_key),
            ("block_cipher_key", &security.block_cipher_key),
            ("dedicated_key", &security.dedicated_key),
        ];
        if let Some(password) = &security.password {
            holds_secrets |= password.is_plain();
            secret(password, &at.key("password"), |secret| secret.password().map(|_| ()), &mut problems);
        }
        for (name, key) in keys {
            if let Some(key) = key {
                holds_secrets |= key.is_plain();
                let size = security.suite.key_length();
                secret(key, &at.key(name), |secret| secret.key(size).map(|_| ()), &mut problems);
            }
        }
    }
    if let Some(file) = file
        && holds_secrets
        && is_open(file)
    {
        let message = format!("{} holds secrets and others can read it", file.display());
        problems.push(Problem::warning(root, message).with_hint("chmod 600, or move the secrets into files"));
    }
    problems
}

fn secret(
    secret: &Secret,
    at: &Path,
    resolve: impl FnOnce(&Secret) -> Result<(), SecretError>,
    problems: &mut Vec<Problem>,
) {
    if secret.is_plain() {
        // Checked with the configuration.
        return;
    }
    if let Err(error) = resolve(secret) {
        let hint = error.report().hint;
        let problem = match error {
            SecretError::Env(_) | SecretError::File { .. } => Problem::warning(at.clone(), error.to_string()),
            _ => Problem::error(at.clone(), error.to_string()),
        };
        problems.push(problem.with_hint(hint));
    }
    if let Secret::File(path) = secret
        && is_open(path)
    {
        let message = format!("{}: others can read this secret", path.display());
        problems.push(Problem::warning(at.clone(), message).with_hint("chmod 600"));
    }
}

fn certificates(config: &Config, at: &Path, problems: &mut Vec<Problem>) {
    let tls = &config.mqtt.tls;
    let written = config.document().mqtt.as_ref().and_then(|mqtt: &mqtt::Mqtt| mqtt.tls.as_ref());
    if written.is_none() {
        return;
    }
    let files = [
        ("ca_file", tls.ca_file.as_deref()),
        ("cert_file", tls.client.as_ref().map(|client| client.cert_file.as_path())),
        ("key_file", tls.client.as_ref().map(|client| client.key_file.as_path())),
    ];
    for (key, file) in files {
        let Some(file) = file else { continue };
        if let Err(error) = bounded::regular(file) {
            let message = format!("{}: {error}", file.display());
            problems.push(Problem::warning(at.key(key), message).with_hint("check the path"));
        } else if key == "key_file" && is_open(file) {
            let message = format!("{}: others can read this key", file.display());
            problems.push(Problem::warning(at.key(key), message).with_hint("chmod 600"));
        }
    }
}

/// Whether others than the owner and the group can read a file.
fn is_open(file: &FilePath) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}
