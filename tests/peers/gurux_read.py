"""Reads a meter over TCP by means of the gurux-dlms library: a client that this project did not write."""

import sys

from gurux_dlms import GXByteBuffer, GXReplyData
from gurux_dlms.enums import Authentication, ErrorCode, InterfaceType, ObjectType, Security
from gurux_dlms.objects import GXDLMSProfileGeneric
from gurux_dlms.secure import GXDLMSSecureClient

import peer

AUTHENTICATION = {
    "none": Authentication.NONE,
    "low": Authentication.LOW,
    "high": Authentication.HIGH,
    "md5": Authentication.HIGH_MD5,
    "sha1": Authentication.HIGH_SHA1,
    "gmac": Authentication.HIGH_GMAC,
    "sha256": Authentication.HIGH_SHA256,
}
SECURITY = {
    "none": Security.NONE,
    "auth": Security.AUTHENTICATION,
    "encr": Security.ENCRYPTION,
    "authencr": Security.AUTHENTICATION_ENCRYPTION,
}


class Refused(Exception):
    """The meter answered with a data-access-result."""


class Session:
    def __init__(self, options):
        self.options = options
        self.line = peer.Line(options)
        hdlc = options.interface == "hdlc"
        address = options.server_address
        if options.physical_address is not None:
            address = GXDLMSSecureClient.getServerAddress(options.server_address, options.physical_address)
        self.client = GXDLMSSecureClient(
            options.referencing == "ln",
            options.client_address,
            address,
            AUTHENTICATION[options.auth],
            options.secret or None,
            InterfaceType.HDLC if hdlc else InterfaceType.WRAPPER,
        )
        ciphering = self.client.ciphering
        ciphering.security = SECURITY[options.security]
        ciphering.systemTitle = options.system_title
        ciphering.authenticationKey = options.akey
        ciphering.blockCipherKey = options.ekey
        ciphering.dedicatedKey = options.dedicated_key
        ciphering.invocationCounter = options.invocation_counter

    def open(self):
        self.line.open()
        snrm = self.client.snrmRequest()
        if snrm:
            self.client.parseUAResponse(self.exchange(snrm).data)
        self.client.parseAareResponse(self.exchange(self.client.aarqRequest()).data)
        if self.options.auth not in ("none", "low"):
            reply = self.exchange(self.client.getApplicationAssociationRequest())
            self.client.parseApplicationAssociationResponse(reply.data)

    def close(self):
        release = self.client.releaseRequest()
        if release:
            self.exchange(release)
        if self.options.interface == "hdlc":
            self.exchange(self.client.disconnectRequest(True))
        self.line.close()

    def exchange(self, requests):
        """Sends the frames of one request and gathers its whole answer, segments and blocks included."""
        reply = GXReplyData()
        for request in requests if isinstance(requests, list) else [requests]:
            reply.clear()
            self._round_trip(request, reply)
            while reply.isMoreData():
                self._round_trip(self.client.receiverReady(reply), reply)
        if reply.error:
            raise Refused(ErrorCode(reply.error).name)
        return reply

    def _round_trip(self, request, reply):
        self.line.send(bytes(request))
        reply.error = 0
        take = self.line.take_frame if self.options.interface == "hdlc" else self.line.take_wrapper_pdu
        arrived = GXByteBuffer()
        arrived.set(take())
        while not self.client.getData(arrived, reply, None):
            arrived.set(take())


def plain(value):
    """The library's value as JSON has it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)


def read(session, obis, class_id, attribute, request, **extra):
    try:
        reply = session.exchange(request)
    except Refused as refusal:
        peer.emit(obis, class_id, attribute, error=str(refusal), **extra)
        return None
    octets = bytes(reply.data.array())
    peer.emit(obis, class_id, attribute, value=plain(reply.value), hex=octets.hex(), **extra)
    return reply


def main():
    options = peer.arguments(__doc__, list(AUTHENTICATION), list(SECURITY), ["ln", "sn"])
    session = Session(options)
    session.open()
    client = session.client

    by_name = options.referencing == "ln"
    association = ObjectType.ASSOCIATION_LOGICAL_NAME if by_name else ObjectType.ASSOCIATION_SHORT_NAME
    listing = read(session, "0.0.40.0.0.255", association, 2, client.getObjectsRequest())
    octets = GXByteBuffer()
    octets.set(bytes(listing.data.array()))
    objects = client.parseObjects(octets, False, False)

    for item, entry in zip(objects, listing.value):
        if not peer.wanted(options, item.objectType):
            continue
        # A list of short names tells no access rights.
        attributes = [access[0] for access in entry[3][0]] if by_name else range(1, item.getAttributeCount() + 1)
        for attribute in attributes:
            # The rows of a profile are asked for by entry below.
            if item.objectType == ObjectType.PROFILE_GENERIC and attribute == 2:
                continue
            read(session, item.logicalName, item.objectType, attribute, client.read(item, attribute))

    for item in objects:
        if options.entries and isinstance(item, GXDLMSProfileGeneric):
            columns = session.exchange(client.read(item, 3))
            client.updateValue(item, 3, columns.value)
            request = client.readRowsByEntry(item, 1, options.entries)
            reply = read(session, item.logicalName, 7, 2, request, from_entry=1, to_entry=options.entries)
            if reply:
                client.updateValue(item, 2, reply.value)

    session.close()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # The library raises bare ones of many kinds.
        sys.exit(f"gurux_read: {type(error).__name__}: {error}")
