//! Line settings on an open terminal: everything in one step, then read back.

use rustix::fd::AsFd;
use rustix::io::Result;
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use super::format::{DataBits, LineFormat, Parity, StopBits};

/// Flow control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FlowControl {
    /// None.
    #[default]
    None,
    /// By the lines RTS and CTS.
    RtsCts,
    /// By the characters XON and XOFF. HDLC is transparent, so this can't carry it safely.
    XonXoff,
}

/// A driver may round a speed. UARTs stand about this much of a difference between both ends, in per mille.
const SPEED_TOLERANCE: u32 = 25;

/// Sets everything once what was written has left the port (it blocks until then), and reads it back.
///
/// The answer names what the driver refused, as `parity mark (the port has none)`; empty where it took everything.
pub(super) fn apply(terminal: impl AsFd, format: LineFormat, flow: FlowControl) -> Result<Vec<String>> {
    let mut settings = tcgetattr(&terminal)?;
    prepare(&mut settings, format, flow)?;
    tcsetattr(&terminal, OptionalActions::Drain, &settings)?;
    Ok(refused(&tcgetattr(&terminal)?, format, flow))
}

fn prepare(settings: &mut Termios, format: LineFormat, flow: FlowControl) -> Result<()> {
    settings.make_raw();
    // At least one octet a read: with none, silence would look like a port that is gone.
    settings.special_codes[SpecialCodeIndex::VMIN] = 1;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;

    let modes = &mut settings.control_modes;
    modes.remove(
        ControlModes::CSIZE
            | ControlModes::CSTOPB
            | ControlModes::PARENB
            | ControlModes::PARODD
            | ControlModes::CMSPAR
            | ControlModes::CRTSCTS,
    );
    // Meters have no modem lines, so carrier detect is not waited for.
    modes.insert(ControlModes::CREAD | ControlModes::CLOCAL);
    modes.insert(size_mode(format.data_bits) | parity_modes(format.parity));
    modes.set(ControlModes::CSTOPB, format.stop_bits == StopBits::Two);
    modes.set(ControlModes::CRTSCTS, flow == FlowControl::RtsCts);

    let modes = &mut settings.input_modes;
    // A character of wrong parity is read as NUL. Without this it would be read as if it were good.
    modes.set(InputModes::INPCK, format.parity != Parity::None);
    modes.set(InputModes::IXON | InputModes::IXOFF, flow == FlowControl::XonXoff);
    settings.set_speed(format.baud)
}

fn refused(actual: &Termios, format: LineFormat, flow: FlowControl) -> Vec<String> {
    let mut refused = Vec::new();
    let mut compare = |name: &str, wanted: String, has: String| {
        if wanted != has {
            refused.push(format!("{name} {wanted} (the port has {has})"));
        }
    };
    let speed = actual.output_speed();
    let near =
        u64::from(speed.abs_diff(format.baud)) * 1000 <= u64::from(format.baud) * u64::from(SPEED_TOLERANCE);
    let speed = if near { format.baud } else { speed };
    compare("baud rate", format.baud.to_string(), speed.to_string());

    let modes = actual.control_modes;
    let data_bits = data_bits_of(modes).map_or_else(|| "?".to_owned(), |bits| bits.count().to_string());
    compare("data bits", format.data_bits.count().to_string(), data_bits);
    compare("parity", format.parity.to_string(), parity_of(modes).to_string());
    let stop_bits = if modes.contains(ControlModes::CSTOPB) { StopBits::Two } else { StopBits::One };
    compare("stop bits", format.stop_bits.count().to_string(), stop_bits.count().to_string());
    compare("flow control", flow_name(flow).to_owned(), flow_name(flow_of(actual)).to_owned());
    refused
}

fn size_mode(bits: DataBits) -> ControlModes {
    match bits {
        DataBits::Five => ControlModes::CS5,
        DataBits::Six => ControlModes::CS6,
        DataBits::Seven => ControlModes::CS7,
        DataBits::Eight => ControlModes::CS8,
    }
}

fn data_bits_of(modes: ControlModes) -> Option<DataBits> {
    let size = modes & ControlModes::CSIZE;
    [DataBits::Five, DataBits::Six, DataBits::Seven, DataBits::Eight]
        .into_iter()
        .find(|&bits| size_mode(bits) == size)
}

/// With `CMSPAR` the parity bit is stuck: at 1 where the parity would be odd, else at 0.
fn parity_modes(parity: Parity) -> ControlModes {
    match parity {
        Parity::None => ControlModes::empty(),
        Parity::Even => ControlModes::PARENB,
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
        Parity::Mark => ControlModes::PARENB | ControlModes::CMSPAR | ControlModes::PARODD,
        Parity::Space => ControlModes::PARENB | ControlModes::CMSPAR,
    }
}

fn parity_of(modes: ControlModes) -> Parity {
    let has = |mode| modes.contains(mode);
    match (has(ControlModes::PARENB), has(ControlModes::CMSPAR), has(ControlModes::PARODD)) {
        (false, _, _) => Parity::None,
        (true, false, false) => Parity::Even,
        (true, false, true) => Parity::Odd,
        (true, true, true) => Parity::Mark,
        (true, true, false) => Parity::Space,
    }
}

fn flow_of(settings: &Termios) -> FlowControl {
    if settings.control_modes.contains(ControlModes::CRTSCTS) {
        FlowControl::RtsCts
    } else if settings.input_modes.contains(InputModes::IXON | InputModes::IXOFF) {
        FlowControl::XonXoff
    } else {
        FlowControl::None
    }
}

const fn flow_name(flow: FlowControl) -> &'static str {
    match flow {
        FlowControl::None => "none",
        FlowControl::RtsCts => "rts_cts",
        FlowControl::XonXoff => "xon_xoff",
    }
}

#[cfg(test)]
mod tests {
    use rustix::fd::OwnedFd;
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, OutputModes};

    use super::*;

    /// Some terminal's settings to start from; a pseudo-terminal can't hold the parities, so they are only computed.
    fn terminal() -> Termios {
        let (controller, _terminal) = pseudo_terminal();
        tcgetattr(controller).expect("a terminal has settings")
    }

    fn pseudo_terminal() -> (OwnedFd, OwnedFd) {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&controller).expect("granted");
        unlockpt(&controller).expect("unlocked");
        let name = ptsname(&controller, Vec::new()).expect("named");
        let terminal = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("opened");
        (controller, terminal)
    }

    #[test]
    fn every_format_is_expressed_and_understood() {
        for baud in [300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 7812] {
            for data_bits in [DataBits::Five, DataBits::Six, DataBits::Seven, DataBits::Eight] {
                for parity in [Parity::None, Parity::Even, Parity::Odd, Parity::Mark, Parity::Space] {
                    for stop_bits in [StopBits::One, StopBits::Two] {
                        for flow in [FlowControl::None, FlowControl::RtsCts, FlowControl::XonXoff] {
                            let format = LineFormat { baud, data_bits, parity, stop_bits };
                            let mut settings = terminal();
                            prepare(&mut settings, format, flow).expect("a legal speed");
                            assert_eq!(
                                refused(&settings, format, flow),
                                Vec::<String>::new(),
                                "{format} {flow:?}"
                            );
                            assert_eq!(settings.input_speed(), baud);
                            assert_eq!(
                                settings.input_modes.contains(InputModes::INPCK),
                                parity != Parity::None
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn bits_are_those_of_the_manual() {
        // termios(3) and asm-generic/termbits.h: CS7 0x20, PARENB 0x100, PARODD 0x200, CMSPAR 1 << 30.
        assert_eq!((parity_modes(Parity::Mark) | size_mode(DataBits::Seven)).bits(), 0x4000_0320);
        assert_eq!((parity_modes(Parity::Space) | size_mode(DataBits::Eight)).bits(), 0x4000_0130);
    }

    #[test]
    fn raw_means_raw() {
        let mut settings = terminal();
        prepare(&mut settings, LineFormat::eight_n_one(9600), FlowControl::None).expect("legal");
        assert!(!settings.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        assert!(!settings.output_modes.contains(OutputModes::OPOST));
        assert!(!settings.input_modes.intersects(InputModes::ICRNL | InputModes::ISTRIP | InputModes::IXON));
    }

    #[test]
    fn what_is_refused_is_named() {
        let mut settings = terminal();
        prepare(&mut settings, LineFormat::eight_n_one(9600), FlowControl::None).expect("legal");
        let wanted = LineFormat {
            baud: 300,
            data_bits: DataBits::Seven,
            parity: Parity::Mark,
            stop_bits: StopBits::Two,
        };
        assert_eq!(
            refused(&settings, wanted, FlowControl::RtsCts),
            [
                "baud rate 300 (the port has 9600)",
                "data bits 7 (the port has 8)",
                "parity mark (the port has none)",
                "stop bits 2 (the port has 1)",
                "flow control rts_cts (the port has none)",
            ]
        );
        assert!(refused(&settings, LineFormat::eight_n_one(9700), FlowControl::None).is_empty(), "rounded");
    }

    /// A pseudo-terminal keeps the speed and the stop bits, and has eight bits without parity, always.
    #[test]
    fn a_pseudo_terminal_refuses_parity() {
        let (_controller, terminal) = pseudo_terminal();
        let good = LineFormat { stop_bits: StopBits::Two, ..LineFormat::eight_n_one(19_200) };
        assert_eq!(apply(&terminal, good, FlowControl::XonXoff).expect("set"), Vec::<String>::new());
        assert_eq!(
            apply(&terminal, LineFormat::SIGN_ON, FlowControl::None).expect("set"),
            ["data bits 7 (the port has 8)", "parity even (the port has none)"]
        );
    }
}
