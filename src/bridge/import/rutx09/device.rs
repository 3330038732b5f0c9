//! Sections `physical_device`: addresses, authentication, ciphering; their secrets go to files.

use zeroize::Zeroizing;

use super::options::{Options, OutOfRange};
use super::{Importer, Slugs, enabled, named};
use crate::bridge::config::Name;
use crate::bridge::config::Secret;
use crate::bridge::config::address::{HIGHEST_ADDRESS, SerialFormula, ServerAddressType};
use crate::bridge::config::document::device::{
    AccessSecurity, Device, Interface, InvocationCounter, TransportSecurity,
};
use crate::bridge::config::object::ObisText;
use crate::bridge::config::quantity::{Flag, Integer};
use crate::bridge::import::SecretFile;
use crate::bridge::import::uci::Section;

const INTERFACES: &[(&str, Interface)] = &[("0", Interface::Hdlc), ("1", Interface::Wrapper)];

const ACCESS: &[(&str, AccessSecurity)] = &[
    ("0", AccessSecurity::None),
    ("1", AccessSecurity::Low),
    ("2", AccessSecurity::High),
    ("3", AccessSecurity::HighMd5),
    ("4", AccessSecurity::HighSha1),
    ("5", AccessSecurity::HighGmac),
    ("6", AccessSecurity::HighSha256),
];

const TRANSPORT: &[(&str, TransportSecurity)] = &[
    ("0", TransportSecurity::None),
    ("16", TransportSecurity::Authentication),
    ("32", TransportSecurity::Encryption),
    ("48", TransportSecurity::AuthenticationEncryption),
];

const ADDRESS_TYPES: &[(&str, ServerAddressType)] =
    &[("0", ServerAddressType::Default), ("1", ServerAddressType::SerialNumber)];

/// Of a key of security suite 0.
const KEY_DIGITS: usize = 32;

impl Importer {
    pub(super) fn devices<'a>(&mut self, sections: impl Iterator<Item = &'a Section>) {
        let mut slugs = Slugs::default();
        for section in sections {
            let mut options = Options::new(section);
            if let Some(device) = self.device(&mut options, &mut slugs) {
                self.meters.push((section.id.clone(), self.devices.len()));
                self.devices.push(device);
            }
            self.notes.extend(options.finish());
        }
    }

    fn device(&mut self, options: &mut Options<'_>, slugs: &mut Slugs) -> Option<Device> {
        let line = options.text("connection");
        let line = line.and_then(|id| self.lines.iter().find(|(known, _)| *known == id));
        let Some((_, connection)) = line.cloned() else {
            options.note("`connection` names none that is there: the device is left out");
            return None;
        };
        let (name, title) = named(options, slugs);
        let mut made =
            Device { name: Some(name.clone()), title, connection: Some(connection), ..Device::default() };
        made.enabled = enabled(options);
        let is_whole = [
            addresses(options, &mut made),
            self.security(options, &name, &mut made),
            referencing(options, &mut made),
        ];
        if is_whole.iter().any(Result::is_err) {
            options.note("disabled until that is settled");
            made.enabled = Some(Flag(false));
        }
        Some(made)
    }

    fn security(
        &mut self,
        options: &mut Options<'_>,
        name: &Name,
        made: &mut Device,
    ) -> Result<(), OutOfRange> {
        let access = options.choice("access_security", ACCESS);
        let transport = options.choice("transport_security", TRANSPORT);
        let accessed = access.unwrap_or_default().unwrap_or(AccessSecurity::None);
        let transported = transport.unwrap_or_default().unwrap_or(TransportSecurity::None);
        made.access_security = (accessed != AccessSecurity::None).then_some(accessed);
        made.transport_security = (transported != TransportSecurity::None).then_some(transported);

        let is_gmac = accessed == AccessSecurity::HighGmac;
        let has_password = !matches!(accessed, AccessSecurity::None | AccessSecurity::HighGmac);
        let is_ciphered = transported != TransportSecurity::None;
        let is_authenticated = is_gmac
            || matches!(
                transported,
                TransportSecurity::Authentication | TransportSecurity::AuthenticationEncryption
            );
        let password = options.verbatim("password").map(Zeroizing::new);
        if has_password {
            made.password = Some(self.password(options, name, password));
        }
        let uses = [
            ("authentication_key", "ak", is_ciphered || is_gmac, is_authenticated),
            ("block_cipher_key", "ek", is_ciphered || is_gmac, is_ciphered || is_gmac),
            ("dedicated_key", "dk", is_ciphered, false),
        ];
        let [ak, ek, dk] = uses.map(|(option, suffix, is_used, is_needed)| {
            let key = options.text(option).map(Zeroizing::new).filter(|_| is_used);
            (is_needed || key.is_some()).then(|| self.key(options, name, option, suffix, key))
        });
        (made.authentication_key, made.block_cipher_key, made.dedicated_key) = (ak, ek, dk);

        let counter = options.text("invocation_counter").filter(|_| is_ciphered || is_gmac);
        if let Some(counter) = counter {
            match counter.parse() {
                Ok(obis) => made.invocation_counter = Some(InvocationCounter::Object(ObisText(obis))),
                Err(_) => options.note(
                    "`invocation_counter` is no OBIS code: 0.0.43.1.0.255, the usual one, stands for it",
                ),
            }
        }
        access?;
        transport.map(|_| ())
    }

    fn password(
        &mut self,
        options: &mut Options<'_>,
        name: &Name,
        password: Option<Zeroizing<String>>,
    ) -> Secret {
        let file = self.file(name, "password");
        match password {
            // Read back, `hex:` would mean something else, and the end of a line would be cut off.
            Some(text) if text.starts_with("hex:") || text.contains(['\n', '\r']) => {
                let digits: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
                self.keep(&file, Zeroizing::new(format!("hex:{digits}")));
            }
            Some(text) => self.keep(&file, text),
            None => options.note(format!("`password` is missing: write it to {file}")),
        }
        Secret::File(file.into())
    }

    fn key(
        &mut self,
        options: &mut Options<'_>,
        name: &Name,
        option: &str,
        suffix: &str,
        key: Option<Zeroizing<String>>,
    ) -> Secret {
        let file = self.file(name, suffix);
        match key {
            Some(key) if key.len() == KEY_DIGITS && key.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                self.keep(&file, key);
            }
            Some(_) => {
                options.note(format!("`{option}` is not {KEY_DIGITS} hex digits: write the key to {file}"));
            }
            None => options.note(format!("`{option}` is missing: write the key to {file}")),
        }
        Secret::File(file.into())
    }

    fn file(&mut self, name: &Name, suffix: &str) -> String {
        self.secrets_dir.join(format!("{name}.{suffix}")).display().to_string()
    }

    fn keep(&mut self, file: &str, content: Zeroizing<String>) {
        self.secrets.push(SecretFile { path: file.into(), content });
    }
}

fn addresses(options: &mut Options<'_>, made: &mut Device) -> Result<(), OutOfRange> {
    let interface = options.choice("interface", INTERFACES);
    let framing = interface.unwrap_or_default().unwrap_or(Interface::Hdlc);
    made.interface = Some(framing);
    let kind = options.choice("server_addr_type", ADDRESS_TYPES);
    let is_serial = kind == Ok(Some(ServerAddressType::SerialNumber));
    let highest = if is_serial { i64::MAX } else { HIGHEST_ADDRESS.into() };
    let server = options.number("server_addr", 0..=highest);
    let logical = options.number("log_server_addr", 0..=HIGHEST_ADDRESS.into());
    let highest_client = if framing == Interface::Wrapper { 65_535 } else { 127 };
    let client = options.number("client_addr", 1..=highest_client);
    made.client_address = client.unwrap_or_default().map(Integer);
    let (server, logical, _) = (server?, logical?, client?);
    interface?;
    kind?;
    let logical = logical.unwrap_or(0);
    if framing == Interface::Wrapper && logical != 0 {
        // The router has one wPort of both; here the logical address would be the wPort.
        let lower = if is_serial {
            let number = server.and_then(|number| u64::try_from(number).ok()).unwrap_or(1);
            SerialFormula::USUAL.apply(number).map_or(0, i64::from)
        } else {
            server.unwrap_or(1)
        };
        let wport = logical << 7 | lower;
        if wport > HIGHEST_ADDRESS.into() {
            options.note(format!(
                "`log_server_addr` and `server_addr` make the wPort {wport}, over {HIGHEST_ADDRESS}, the highest one here"
            ));
            return Err(OutOfRange);
        }
        options.note(format!(
            "logical address {logical} and server address {lower} are the wPort {wport} on WRAPPER"
        ));
        made.server_address = Some(Integer(wport));
        return Ok(());
    }
    made.logical_server_address = (logical != 0).then_some(Integer(logical));
    if is_serial {
        made.server_address_type = Some(ServerAddressType::SerialNumber);
        made.serial_number = Some(Integer(server.unwrap_or(1)));
        if framing == Interface::Hdlc && logical == 0 {
            made.logical_server_address = Some(Integer(1));
        }
    } else {
        made.server_address = server.map(Integer);
    }
    Ok(())
}

fn referencing(options: &mut Options<'_>, made: &mut Device) -> Result<(), OutOfRange> {
    let older = options.flag("use_logical_name_ref");
    let by_logical_names = options.flag("use_ln_ref").or(older).unwrap_or(true);
    made.logical_name_referencing = (!by_logical_names).then_some(Flag(false));
    Ok(())
}
