//! `decode`: frames and APDUs in hexadecimal to a JSON tree of names, offsets and errors.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use clap::Args;
use zeroize::Zeroizing;

use super::CommandError;
use super::results::{printed, say};
use crate::bridge::bounded;
use crate::dissect::{Dissection, Secrets, Settings, dissect_bytes, dissect_text};
use crate::error::{Code, Layer, Report};
use crate::security::{Key, SystemTitle};

/// Arguments of `decode`.
#[derive(Debug, Clone, Args)]
pub(super) struct DecodeArgs {
    /// Block cipher key: hexadecimal, or @FILE with it
    #[arg(long, value_name = "EK")]
    key: Option<Secret>,
    /// Authentication key: hexadecimal, or @FILE with it
    #[arg(long, value_name = "AK")]
    auth_key: Option<Secret>,
    /// System title of the sender, where neither the APDU nor an AARQ or AARE before it tells: 16 hexadecimal digits
    #[arg(long, value_name = "ST")]
    system_title: Option<String>,
    /// Show passwords and keys found in what is decoded
    #[arg(long)]
    show_secrets: bool,
    /// Frames or APDUs as most tools print them: hexadecimal of any form, lines of a log, a hex dump. `-` reads them
    /// (or the bytes themselves) from standard input
    #[arg(value_name = "HEX", required = true)]
    hex: Vec<String>,
}

/// A key as written, or `@` and the file that holds it. Never printed.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl FromStr for Secret {
    type Err = Infallible;

    // Read later: what the argument parser refuses, it repeats on the terminal.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Decodes and prints.
pub(super) fn run(args: &DecodeArgs) -> Result<(), CommandError> {
    let dissection = dissect(args, &mut io::stdin().lock())?;
    for ignored in &dissection.ignored {
        say(format_args!("line {} ignored, {}: {}", ignored.line, ignored.reason, ignored.text));
    }
    if dissection.frames.is_empty() {
        return Err(CommandError::Usage("no bytes in hexadecimal found".to_owned()));
    }
    printed(print(&dissection, &mut io::stdout().lock()))?;
    match dissection.errors {
        0 => Ok(()),
        errors => {
            let message = format!("not everything could be decoded: {errors} errors in the tree");
            let report = Report::new(Code::Decode, Layer::Decode, message);
            Err(report.with_hint("each `error` in the tree says where and why").into())
        }
    }
}

fn dissect(args: &DecodeArgs, stdin: &mut dyn Read) -> Result<Dissection, CommandError> {
    let system_title = args.system_title.as_deref().map(|text| {
        SystemTitle::from_hex(&compact(text))
            .map_err(|error| CommandError::Usage(format!("--system-title: {error}")))
    });
    let settings = Settings {
        key: key("--key", args.key.as_ref())?,
        authentication_key: key("--auth-key", args.auth_key.as_ref())?,
        system_title: system_title.transpose()?,
        secrets: if args.show_secrets { Secrets::Shown } else { Secrets::Hidden },
    };
    if args.hex.iter().all(|argument| argument != "-") {
        return Ok(dissect_text(&joined(&args.hex), settings));
    }
    let input =
        bounded::stream(stdin).map_err(|error| CommandError::Usage(format!("standard input: {error}")))?;
    Ok(match String::from_utf8(input) {
        Ok(text) if !text.contains('\0') => dissect_text(&text, settings),
        Ok(text) => dissect_bytes(text.as_bytes(), settings),
        Err(error) => dissect_bytes(error.as_bytes(), settings),
    })
}

/// Bytes written as an argument each are one line; whole frames are a line each.
fn joined(arguments: &[String]) -> String {
    let are_bytes = arguments.iter().any(|argument| argument.trim().len() <= 4);
    arguments.join(if are_bytes { " " } else { "\n" })
}

fn key(option: &str, secret: Option<&Secret>) -> Result<Option<Key>, CommandError> {
    let wrong = |why: String| CommandError::Usage(format!("{option}: {why}"));
    let Some(Secret(text)) = secret else { return Ok(None) };
    let text = match text.strip_prefix('@') {
        Some(path) => {
            let text = bounded::text(Path::new(path)).map_err(|error| wrong(format!("{path}: {error}")))?;
            Zeroizing::new(text)
        }
        None => text.clone(),
    };
    let digits = Zeroizing::new(compact(&text));
    Key::from_hex(&digits).map(Some).map_err(|error| wrong(error.to_string()))
}

/// Without what people write between digits.
fn compact(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != ':' && *c != '-').collect()
}

fn print(dissection: &Dissection, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    serde_json::to_writer_pretty(&mut out, dissection)?;
    writeln!(out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: DecodeArgs,
    }

    fn args(arguments: &[&str]) -> DecodeArgs {
        Cli::try_parse_from([&["decode"], arguments].concat()).expect("arguments").args
    }

    const EK: &str = "000102030405060708090A0B0C0D0E0F";
    const AK: &str = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF";
    const CIPHERED: &str = "C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B";

    #[test]
    fn arguments_are_bytes_or_frames() {
        for arguments in
            [&["C0", "02", "C1", "00000001"][..], &["C0 02 C1 00", "00 00 01"], &["c002c100000001"]]
        {
            let found = dissect(&args(arguments), &mut io::empty()).expect("usable");
            assert_eq!((found.frames.len(), found.errors), (1, 0), "{arguments:?}");
        }
        let found = dissect(&args(&["c002c100000001", "c002c100000002"]), &mut io::empty()).expect("usable");
        assert_eq!(found.frames.len(), 2);
    }

    #[test]
    fn standard_input_is_text_or_bytes() {
        for mut input in [&b"7EA0 0703 2193 0F01 7E\n"[..], &[0x7E, 0xA0, 7, 3, 0x21, 0x93, 0x0F, 1, 0x7E]] {
            let found = dissect(&args(&["-"]), &mut input).expect("usable");
            assert_eq!((found.frames.len(), found.errors), (1, 0));
        }
    }

    #[test]
    fn keys_from_arguments_and_files_are_never_shown() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), format!("{AK}\n")).expect("written");
        let from_file = format!("@{}", file.path().display());
        let args =
            args(&["--key", EK, "--auth-key", &from_file, "--system-title", "4D4D4D0000BC614E", CIPHERED]);
        assert!(!format!("{args:?}").contains("0001020304"), "{args:?}");
        let found = dissect(&args, &mut io::empty()).expect("usable");
        assert_eq!(found.errors, 0);
        let mut out = Vec::new();
        print(&found, &mut out).expect("printed");
        let out = String::from_utf8(out).expect("text").to_uppercase();
        assert!(out.contains("TAG OK") && !out.contains(EK) && !out.contains(AK), "{out}");
    }

    #[test]
    fn wrong_arguments_are_named_without_their_value() {
        let message = |arguments: &[&str]| match dissect(&args(arguments), &mut io::empty()) {
            Err(CommandError::Usage(message)) => message,
            other => panic!("{arguments:?}: {other:?}"),
        };
        let odd = message(&["--key", "00112233445566778899AABBCCDDEEF", "00"]);
        assert!(odd.contains("--key") && !odd.contains("0011"), "{odd}");
        assert!(message(&["--auth-key", "@/nowhere", "00"]).contains("/nowhere"));
        assert!(message(&["--system-title", "4D4D4D", "00"]).contains("--system-title"));
    }
}
