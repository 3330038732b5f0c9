//! The bridge that runs on the same state directory: whoever uses its meters asks it, through its control socket.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::CommandError;
use super::one_device::progress;
use crate::bridge::config::model::Config;
use crate::bridge::control::socket_path;
use crate::error::{Code, Layer, Report};

/// How long a command waits for its answer.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A running bridge.
#[derive(Debug)]
pub(super) struct RunningBridge(UnixStream);

/// Its final answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    status: String,
    data: Option<Box<RawValue>>,
    error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    code: String,
    layer: String,
    message: String,
    hint: String,
    dlms: Option<i64>,
}

impl RunningBridge {
    /// The bridge of this configuration's state directory; `None` where none runs.
    ///
    /// # Errors
    /// A socket that is there and cannot be used: it is for the owner of the state directory alone.
    pub(super) fn find(config: &Config) -> Result<Option<Self>, Report> {
        let path = socket_path(&config.state_dir);
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Some(Self(stream))),
            // What a crash has left behind refuses connections.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => {
                let message = format!("{}: {error}", path.display());
                Err(Report::new(Code::StateLocked, Layer::Control, message)
                    .with_hint("a bridge runs there: ask as the user that it runs as"))
            }
        }
    }

    /// Asks, and waits for the final answer.
    ///
    /// # Errors
    /// Where the bridge goes away meanwhile.
    pub(super) fn ask(self, verb: &str, mut arguments: Value) -> Result<Answer, CommandError> {
        progress("asking the running bridge");
        arguments["verb"] = verb.into();
        if let Ok(end) = Timestamp::now().checked_add(PATIENCE) {
            arguments["expires_at"] = json!(end.to_string());
        }
        let lost = |error: io::Error| {
            let message = format!("the running bridge does not answer: {error}");
            CommandError::from(Report::new(Code::LinkDown, Layer::Control, message))
        };
        let mut stream = self.0;
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        writeln!(stream, "{arguments}").map_err(lost)?;
        for line in BufReader::new(stream).lines() {
            let answer: Answer = serde_json::from_str(&line.map_err(lost)?).map_err(anyhow::Error::from)?;
            if answer.status != "accepted" {
                return Ok(answer);
            }
        }
        Err(lost(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl Answer {
    /// What was asked for, as `T` wants it; `None` where there is nothing of it.
    pub(super) fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, CommandError> {
        let data = self.data.as_deref().map(|data| serde_json::from_str(data.get()));
        Ok(data.transpose().map_err(anyhow::Error::from)?)
    }

    /// What was asked for, as it came.
    pub(super) fn raw(&self) -> Option<&RawValue> {
        self.data.as_deref()
    }

    /// Why it failed, in whole or in part.
    pub(super) fn outcome(self) -> Result<(), CommandError> {
        self.error.map_or(Ok(()), |failure| Err(failure.report().into()))
    }
}

impl Failure {
    fn report(self) -> Report {
        let code = Code::ALL.iter().find(|code| code.as_str() == self.code);
        let layer = Layer::ALL.iter().find(|layer| layer.as_str() == self.layer);
        // A bridge of another version may know more of them.
        let (code, layer) =
            (code.copied().unwrap_or(Code::Internal), layer.copied().unwrap_or(Layer::Control));
        let report = Report::new(code, layer, self.message).with_hint(self.hint);
        match self.dlms {
            Some(number) => report.with_dlms(number),
            None => report,
        }
    }
}
