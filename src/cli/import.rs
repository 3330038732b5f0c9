//! `dlms2mqtt import`: our configuration from another product's.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::CommandError;
use super::results::{print_line, say};
use crate::bridge::bounded;
use crate::bridge::config::tree::Format;
use crate::bridge::config::{Name, load_text};
use crate::bridge::import::{Imported, SecretFile, rutx09};
use crate::error::{Code, Layer, Report};

/// What to import.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Whose configuration it is.
    #[arg(value_enum)]
    product: Product,
    /// Its file: of a RUTX09, /etc/config/dlms_client.
    file: PathBuf,
    /// Where the configuration goes; to stdout unless given. An existing file is not replaced.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Directory for passwords and keys, each in a file of its own; relative to the configuration.
    #[arg(long, value_name = "DIR", default_value = "secrets")]
    secrets_dir: PathBuf,
    /// Name of this gateway.
    #[arg(long, value_name = "NAME", default_value = "gateway", value_parser = clap::value_parser!(Name))]
    gateway: Name,
    /// The broker.
    #[arg(long, value_name = "URL", default_value = "mqtt://localhost")]
    mqtt_url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Product {
    /// The DLMS client of a Teltonika RUTX09, or another router with RutOS.
    Rutx09,
}

/// Writes the configuration and its secrets; says on stderr what could not be taken over.
pub(super) fn run(args: &ImportArgs) -> Result<(), CommandError> {
    let text = bounded::text(&args.file).map_err(|error| failed(&args.file, &error))?;
    let settings = rutx09::Settings {
        gateway: args.gateway.clone(),
        mqtt_url: args.mqtt_url.clone(),
        secrets: args.secrets_dir.clone(),
    };
    let imported = match args.product {
        Product::Rutx09 => rutx09::import(&text, settings),
    };
    let imported = imported.map_err(|error| {
        let message = format!("{}: {error}", args.file.display());
        Report::new(Code::ConfigInvalid, Layer::Config, message).with_hint(
            "take /etc/config/dlms_client from the router, or the output of `uci export dlms_client`",
        )
    })?;
    let yaml = imported.yaml().map_err(|error| CommandError::Fault(error.into()))?;
    let directory = args.output.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
    if let Err(problems) = load_text(&yaml, Format::Yaml, &directory) {
        problems.0.iter().for_each(say);
        return Err(CommandError::Configuration);
    }
    write(args, &imported, &yaml, &directory)?;
    for note in &imported.notes {
        say(note);
    }
    Ok(())
}

fn write(args: &ImportArgs, imported: &Imported, yaml: &str, directory: &Path) -> Result<(), CommandError> {
    for secret in &imported.secrets {
        keep(secret, directory)?;
    }
    let Some(output) = &args.output else {
        return print_line(yaml.trim_end());
    };
    new_file(output, 0o640, yaml.as_bytes()).map_err(|error| failed(output, &error).into())
}

/// Writes a secret for the owner's eyes only. One that is there already must be the same.
fn keep(secret: &SecretFile, directory: &Path) -> Result<(), CommandError> {
    let path = directory.join(&secret.path);
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| failed(folder, &error))?;
    }
    match new_file(&path, 0o600, secret.content.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let same = std::fs::read(&path).is_ok_and(|content| content == secret.content.as_bytes());
            if same { Ok(()) } else { Err(failed(&path, &error).into()) }
        }
        outcome => outcome.map_err(|error| failed(&path, &error).into()),
    }
}

fn new_file(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn failed(path: &Path, error: &io::Error) -> Report {
    let hint = match error.kind() {
        io::ErrorKind::AlreadyExists => "nothing is replaced: move it away, or choose another place",
        io::ErrorKind::InvalidData => "save it in UTF-8",
        io::ErrorKind::FileTooLarge => "take /etc/config/dlms_client from the router",
        _ => "check the path and its permissions",
    };
    Report::new(Code::ConfigInvalid, Layer::Config, format!("{}: {error}", path.display())).with_hint(hint)
}
