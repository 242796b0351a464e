"""The PROXY protocol, versions 1 and 2: the peer's address behind a balancer. Pure: bytes in,
address out. The protocol is specified in HAProxy's doc/proxy-protocol.txt.

A balancer that speaks it begins each connection with one header that has the address of the real
peer. A sender of such headers can claim any address, so they are accepted only from balancers that
are configured, and required there.

`parse_header` gets all bytes received so far, and looks at a fixed number of them. Its result
depends on the bytes alone and not on how they were cut: what it refuses stays refused, and what it
accepts stays accepted, whatever follows. It reads nothing past the header's end.
"""

import ipaddress
from typing import Final, NamedTuple, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

V1_MAX_BYTES: Final = 107
"""The longest header of version 1, with its line end, as the protocol says."""
V2_MAX_BYTES: Final = 4_096
"""The longest header of version 2 that is accepted. The protocol allows 64 KiB."""

_V1_START: Final = b"PROXY "
_V1_FAMILIES: Final = {"TCP4": 4, "TCP6": 6}
_V2_START: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED_BYTES: Final = 16
_V2_LOCAL, _V2_PROXY = 0, 1
_V2_ADDRESSES: Final = {0x11: (4, 12), 0x21: (16, 36)}
"""TCP over IPv4 and IPv6: the bytes of one address, and of both addresses and ports."""
_V2_MAX_FAMILY, _V2_MAX_TRANSPORT = 3, 2


class BadHeader(ValueError):
    """The bytes are no PROXY header; the text says why."""


class Header(NamedTuple):
    """`address` is None for the balancer's own connections (LOCAL) and unknown peers (UNKNOWN)."""

    address: str | None
    length_bytes: int


class Balancers:
    """The addresses from which a PROXY header is required and trusted."""

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = networks

    @classmethod
    def parse(cls, text: str) -> "Balancers":
        """From `ADDRESS[,ADDRESS…]`, each one an address or a network such as 10.0.0.0/24. Raises
        ValueError with the part that is neither."""
        return cls(tuple(_network(part.strip()) for part in text.split(",")))

    def trusts(self, address: str) -> bool:
        """Whether it is the address of a balancer."""
        if not self._networks:
            return False
        try:
            plain = _plain(ipaddress.ip_address(address))
        except ValueError:
            return False
        return any(plain in network for network in self._networks)

    def __str__(self) -> str:
        return ", ".join(
            str(network.network_address if network.num_addresses == 1 else network)
            for network in self._networks
        )


def parse_header(data: bytes | bytearray) -> Header | None:
    """The header that `data` begins with; None while more of it must come. Raises BadHeader."""
    if data.startswith(_V1_START):
        return _parse_v1(data)
    if data.startswith(_V2_START):
        return _parse_v2(data)
    start = bytes(data[: len(_V2_START)])
    if _V1_START.startswith(start) or _V2_START.startswith(start):
        return None
    raise BadHeader("it begins with something else")


def _parse_v1(data: bytes | bytearray) -> Header | None:
    line, end, _ = data[:V1_MAX_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= V1_MAX_BYTES:
            raise BadHeader(f"its line does not end within {V1_MAX_BYTES} bytes")
        return None
    length_bytes = len(line) + len(end)
    try:
        fields = line.decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise BadHeader("its line is not ASCII") from None
    if fields[1] == "UNKNOWN":
        return Header(None, length_bytes)
    version = _V1_FAMILIES.get(fields[1])
    if version is None or len(fields) != 6:
        raise BadHeader("its line is not TCP4 or TCP6 with two addresses and two ports")
    source, _ = _address(fields[2], version), _address(fields[3], version)
    for port in fields[4:]:
        if not port.isdecimal() or len(port) > 5 or int(port) > 65_535:
            raise BadHeader("it has a port that is none")
    return Header(source, length_bytes)


def _parse_v2(data: bytes | bytearray) -> Header | None:
    if len(data) > 12 and (data[12] >> 4 != 2 or data[12] & 15 > _V2_PROXY):
        raise BadHeader("its version or its command is unknown")
    if len(data) > 13 and (data[13] >> 4 > _V2_MAX_FAMILY or data[13] & 15 > _V2_MAX_TRANSPORT):
        raise BadHeader("its family or its transport is unknown")
    if len(data) < _V2_FIXED_BYTES:
        return None
    length_bytes = _V2_FIXED_BYTES + int.from_bytes(data[14:16], "big")
    if length_bytes > V2_MAX_BYTES:
        raise BadHeader(f"it has {length_bytes} bytes, and may have {V2_MAX_BYTES}")
    address_bytes, both_bytes = _V2_ADDRESSES.get(data[13], (0, 0))
    if data[12] & 15 == _V2_LOCAL:
        address_bytes = both_bytes = 0
    if length_bytes < _V2_FIXED_BYTES + both_bytes:
        raise BadHeader("it has no room for its addresses")
    if len(data) < length_bytes:
        return None
    if not address_bytes:
        return Header(None, length_bytes)
    packed = bytes(data[_V2_FIXED_BYTES : _V2_FIXED_BYTES + address_bytes])
    return Header(str(_plain(ipaddress.ip_address(packed))), length_bytes)


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise BadHeader("it has an address that is none") from None
    if address.version != version or "%" in text:
        raise BadHeader("it has an address of another family")
    return str(_plain(address))


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address with which a host is counted: IPv4 that is mapped to IPv6 is IPv4."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text or 'an empty part'} is no address") from None
