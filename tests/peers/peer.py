"""What the peer clients share: their arguments, their socket, and the JSON lines that they print.

A client reads the object list of the meter, then attributes of the objects in it, then the first rows of
each profile, and prints one JSON object for each answer:

    {"obis": "1.0.1.8.0.255", "class": 3, "attribute": 2, "value": 12345678, "hex": "0600bc614e"}

`value` is what the peer's own decoder made of it (octet strings as hex, bit strings as text of 0 and 1);
`hex` is the A-XDR encoding of the Data as it arrived. Rows of a profile carry `from_entry` and `to_entry`. A refused
attribute has `error` instead. The exit code is 0 when the session ran to its end, refusals included.
"""

import argparse
import json
import os
import socket
import sys
import time

# One of the libraries chats on standard output, which is for our lines alone.
OUT, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")


def arguments(description, auth, security, referencing=("ln",)):
    parser = argparse.ArgumentParser(description=description)
    number = lambda text: int(text, 0)
    key = bytes.fromhex
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interface", choices=["hdlc", "wrapper"], default="hdlc")
    parser.add_argument("--referencing", choices=referencing, default="ln")
    parser.add_argument("--client-address", type=number, default=16)
    parser.add_argument("--server-address", type=number, default=1)
    parser.add_argument("--physical-address", type=number, help="HDLC: the lower address; --server-address is the upper one")
    parser.add_argument("--auth", choices=auth, default="none")
    parser.add_argument("--password", default="", help="text, or 0x followed by hex")
    parser.add_argument("--security", choices=security, default="none")
    parser.add_argument("--system-title", type=key, default=key("444c4d5065657201"))
    parser.add_argument("--akey", type=key, default=key("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"))
    parser.add_argument("--ekey", type=key, default=key("000102030405060708090a0b0c0d0e0f"))
    parser.add_argument("--dedicated-key", type=key, help="a key for this association")
    parser.add_argument("--invocation-counter", type=number, default=int(time.time()),
                        help="of the first ciphered APDU; by default the seconds since 1970, which rise from run to run")
    parser.add_argument("--classes", default="1,3,4,5,8", help="classes of which every readable attribute is read, or 'all'")
    parser.add_argument("--entries", type=int, default=3, help="rows read of each profile, from the oldest; 0: none")
    parser.add_argument("--timeout", type=float, default=5.0)
    options = parser.parse_args()
    options.secret = key(options.password[2:]) if options.password.startswith("0x") else options.password.encode()
    return options


def wanted(options, class_id):
    return options.classes == "all" or str(int(class_id)) in options.classes.split(",")


def obis_text(octets):
    return ".".join(str(octet) for octet in octets)


def emit(obis, class_id, attribute, **answer):
    print(json.dumps({"obis": obis, "class": int(class_id), "attribute": int(attribute), **answer}), file=OUT, flush=True)


class Line:
    """A TCP stream that is read by length, whatever its segments, and that ends loudly."""

    def __init__(self, options):
        self.options = options
        self.buffer = bytearray()
        self.socket = None

    def open(self):
        self.socket = socket.create_connection((self.options.host, self.options.port), self.options.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def send(self, octets):
        self.socket.sendall(octets)

    def take(self, amount):
        while len(self.buffer) < amount:
            self._fill()
        taken = bytes(self.buffer[:amount])
        del self.buffer[:amount]
        return taken

    def take_frame(self):
        """One HDLC frame with both flags, measured by its length field: 7E may stand inside."""
        while self.peek(2) == b"\x7e\x7e":
            self.take(1)
        head = self.peek(3)
        length = (head[1] & 0x07) << 8 | head[2]
        frame = self.take(length + 2)
        if frame[0] != 0x7E or frame[-1] != 0x7E:
            raise ValueError(f"not an HDLC frame: {frame.hex()}")
        return frame

    def take_wrapper_pdu(self):
        return self.take(8 + int.from_bytes(self.peek(8)[6:8], "big"))

    def peek(self, amount):
        while len(self.buffer) < amount:
            self._fill()
        return bytes(self.buffer[:amount])

    def _fill(self):
        octets = self.socket.recv(4096)
        if not octets:
            raise ConnectionError("the meter closed the connection")
        self.buffer += octets
