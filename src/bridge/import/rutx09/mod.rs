//! The DLMS client of Teltonika's RUTX09 and its kin: the UCI file `/etc/config/dlms_client`.
//!
//! A rule for what cannot be taken over: a placeholder stands for it, what it belongs to is disabled, and a note says
//! so. Nothing is read in another way than the router read it.

mod connection;
mod device;
mod group;
mod options;

use std::path::PathBuf;

use super::slug::Slugs;
use super::uci::{self, Section, UciError};
use super::{Imported, Note, SecretFile};
use crate::bridge::config::Name;
use crate::bridge::config::document::device::Device;
use crate::bridge::config::document::{Document, mqtt::Mqtt};
use crate::bridge::config::quantity::{Flag, Integer};
use options::Options;

/// Sections of which there may be many.
const KINDS: [&str; 4] = ["connection", "physical_device", "cosem_group", "cosem"];

/// What the router's file does not say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of this gateway.
    pub gateway: Name,
    /// The broker.
    pub mqtt_url: String,
    /// Directory of secret files, as the configuration shall name it.
    pub secrets: PathBuf,
}

/// Makes a configuration of the router's file.
///
/// # Errors
/// Where the text is no UCI file.
pub fn import(text: &str, settings: Settings) -> Result<Imported, UciError> {
    let sections = uci::parse(text, "dlms_client")?;
    let mut importer = Importer { secrets_dir: settings.secrets, ..Importer::default() };
    let mut document = Document {
        version: Some(Integer(1)),
        gateway: Some(settings.gateway),
        mqtt: Some(Mqtt { url: Some(settings.mqtt_url), ..Mqtt::default() }),
        ..Document::default()
    };
    for section in &sections {
        if !KINDS.contains(&section.kind.as_str()) {
            importer.global(section, &mut document);
        }
    }
    document.connections = Some(importer.connections(of_kind(&sections, "connection")));
    importer.devices(of_kind(&sections, "physical_device"));
    document.groups = Some(importer.groups(of_kind(&sections, "cosem_group"), of_kind(&sections, "cosem")));
    document.devices = Some(importer.devices);
    if !sections.iter().any(|section| KINDS.contains(&section.kind.as_str())) {
        importer.notes.push(Note {
            place: "file".to_owned(),
            text: "nothing of a DLMS client is in it: is it the router's /etc/config/dlms_client?".to_owned(),
        });
    }
    importer.notes.push(Note {
        place: "mqtt".to_owned(),
        text: "the router keeps its broker in another file (Data to Server): set url, username and password here"
            .to_owned(),
    });
    Ok(Imported { document, secrets: importer.secrets, notes: importer.notes })
}

fn of_kind<'a>(sections: &'a [Section], kind: &'static str) -> impl Iterator<Item = &'a Section> {
    sections.iter().filter(move |section| section.kind == kind)
}

/// What is known while a file is read.
#[derive(Debug, Default)]
struct Importer {
    secrets_dir: PathBuf,
    notes: Vec<Note>,
    secrets: Vec<SecretFile>,
    /// Section ids of connections, with our names.
    lines: Vec<(String, Name)>,
    /// Section ids of devices, with the places of their devices.
    meters: Vec<(String, usize)>,
    devices: Vec<Device>,
}

impl Importer {
    /// Sections that hold the global switch, or something unknown.
    fn global(&mut self, section: &Section, document: &mut Document) {
        let mut options = Options::new(section);
        if matches!(section.kind.as_str(), "main" | "general" | "global" | "settings" | "dlms_client") {
            document.enabled = options.flag("enabled").filter(|enabled| !enabled).map(Flag);
            self.notes.extend(options.finish());
        } else {
            options.note("a section of a kind that is not known here: not taken over");
            self.notes.extend(options.into_notes());
        }
    }
}

/// A name of ours; the free text stays as the title where it says more.
fn named(options: &mut Options<'_>, slugs: &mut Slugs) -> (Name, Option<String>) {
    named_beside(options, slugs, &mut Slugs::default())
}

/// The same, where the name must be free among others too.
fn named_beside(options: &mut Options<'_>, slugs: &mut Slugs, others: &mut Slugs) -> (Name, Option<String>) {
    let written: String =
        options.text("name").unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let fallback = format!("{}-{}", options.kind().replace("physical_", ""), options.id());
    let name = slugs.name_beside(&written, &fallback, others);
    let mut title = written;
    while title.len() > 256 {
        title.pop();
    }
    let says_more = !title.is_empty() && title != name.as_str();
    (name, says_more.then_some(title))
}

/// The router's switches are off where they are absent; ours are on.
fn enabled(options: &mut Options<'_>) -> Option<Flag> {
    match options.flag("enabled") {
        Some(true) => None,
        Some(false) => Some(Flag(false)),
        None => {
            options.note("`enabled` is not set, which means off on the router: disabled");
            Some(Flag(false))
        }
    }
}
