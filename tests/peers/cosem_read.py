"""Reads a meter over TCP by means of the dlms-cosem library: a client that this project did not write.

What the library can't do, the arguments refuse: it knows no MD5 or SHA, reflects its password as the challenge of
manufacturer HLS, and ciphers always as authentication with encryption, in general-glo-ciphering.
"""

import logging
import sys

import structlog
from dlms_cosem import cosem, enumerations, security, utils
from dlms_cosem.client import DataResultError, DlmsClient
from dlms_cosem.connection import DlmsConnectionSettings
from dlms_cosem.io import HdlcTransport, TcpTransport
from dlms_cosem.parsers import AssociationObjectListParser

import peer

AUTHENTICATION = {
    "none": lambda options: security.NoSecurityAuthentication(),
    "low": lambda options: security.LowLevelSecurityAuthentication(secret=options.secret),
    "gmac": lambda options: security.HighLevelSecurityGmacAuthentication(challenge_length=16),
}


class Io:
    """In place of the library's own stream, which loops for ever on a closed socket and on an FCS that ends in 7E."""

    def __init__(self, line):
        self.line = line
        self.searches = 0

    def connect(self):
        self.line.open()

    def disconnect(self):
        self.line.close()

    def send(self, data):
        self.line.send(data)

    def recv(self, amount=1):
        return self.line.take(amount)

    def recv_until(self, end):
        """A whole frame; then nothing, until the library has looked for its end at each 7E inside."""
        if self.searches:
            self.searches -= 1
            return b""
        frame = self.line.take_frame()
        self.searches = frame.count(end) - 2
        return frame


class Rows:
    """Selective access by entry, which the library names but does not encode."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def to_bytes(self):
        entries = b"".join(b"\x06" + number.to_bytes(4, "big") for number in (self.first, self.last))
        return b"\x02\x02\x04" + entries + b"\x12\x00\x01\x12\x00\x00"


def connect(options):
    io = Io(peer.Line(options))
    if options.interface == "wrapper":
        transport = TcpTransport(options.client_address, options.server_address, io)
    else:
        transport = HdlcTransport(
            options.client_address,
            options.server_address,
            io,
            server_physical_address=options.physical_address,
        )
    ciphered = options.security != "none"
    return DlmsClient(
        transport=transport,
        authentication=AUTHENTICATION[options.auth](options),
        encryption_key=options.ekey if ciphered else None,
        authentication_key=options.akey if ciphered else None,
        client_system_title=options.system_title,
        client_initial_invocation_counter=options.invocation_counter,
        max_pdu_size=1024,
        connection_settings=DlmsConnectionSettings(use_rlrq_rlre=True),
    )


def plain(value):
    """The library's value as JSON has it."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def read(client, obis, class_id, attribute, selection=None, **extra):
    target = cosem.CosemAttribute(enumerations.CosemInterface(class_id), cosem.Obis(*obis), attribute)
    name = peer.obis_text(obis)
    try:
        octets = client.get(target, selection)
    except DataResultError as refusal:
        peer.emit(name, class_id, attribute, error=str(refusal), **extra)
        return None
    try:
        answer = {"value": plain(utils.parse_as_dlms_data(octets))}
    except Exception as undecoded:  # The bytes still count: its decoder lacks some types.
        answer = {"undecoded": f"{type(undecoded).__name__}: {undecoded}"}
    peer.emit(name, class_id, attribute, **answer, hex=octets.hex(), **extra)
    return octets


def main():
    options = peer.arguments(__doc__, list(AUTHENTICATION), ["none", "authencr"])
    client = connect(options)
    client.connect()
    client.associate()

    listing = utils.parse_as_dlms_data(read(client, (0, 0, 40, 0, 0, 255), 15, 2))
    for class_id, _version, name, access in listing:
        obis = tuple(name)
        if not peer.wanted(options, class_id):
            continue
        for attribute, *_ in access[0]:
            # The rows of a profile are asked for by entry below.
            if not (class_id == 7 and attribute == 2):
                read(client, obis, class_id, attribute)

    for class_id, _version, name, _access in listing:
        if options.entries and class_id == 7:
            rows = Rows(1, options.entries)
            read(client, tuple(name), 7, 2, rows, from_entry=1, to_entry=options.entries)

    client.release_association()
    client.disconnect()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        main()
    except Exception as error:  # The library raises bare ones of many kinds.
        sys.exit(f"cosem_read: {type(error).__name__}: {error}")
