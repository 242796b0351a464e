"""What nodes say to each other over the bus.

A bus message is a hint that saves time and is never relied on: the log and the rosters in the store
are the truth, and anti-entropy finds what a message failed to tell. Channels are `u:ID`
(a user) and `g:ID` (a group).
"""

from typing import Final

import msgspec
from msgspec import Struct

from chat.core.ports.operations import LogEntry
from chat.core.ports.rosters import RosterChange
from chat.protocol.messages import PresenceState


class BusMessage(Struct, frozen=True, gc=False, tag_field="t"):
    """Base of all bus messages."""


class EntryBusMessage(BusMessage, frozen=True, tag="entry"):
    """The head of the entry's conversation is at least its seq; and this is that entry."""

    entry: LogEntry


class RosterBusMessage(BusMessage, frozen=True, tag="roster"):
    """The version of the user's roster is at least that of the change; and this is that change."""

    change: RosterChange


class PresenceBusMessage(BusMessage, frozen=True, tag="presence"):
    """A friend of the channel's user came or went."""

    user: int
    state: PresenceState


class ReceiptBusMessage(BusMessage, frozen=True, tag="receipt"):
    """`user` has read the conversation up to `seq`."""

    conversation: int
    user: int
    seq: int


AnyBusMessage = EntryBusMessage | RosterBusMessage | PresenceBusMessage | ReceiptBusMessage

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(AnyBusMessage)


def encode_bus_message(message: AnyBusMessage) -> bytes:
    """The message as one JSON object, without a newline."""
    return _encoder.encode(message)


def decode_bus_message(data: bytes) -> AnyBusMessage:
    """Raises msgspec.DecodeError (or its subclass ValidationError) if it is none."""
    message: AnyBusMessage = _decoder.decode(data)
    return message


def user_channel(user: int) -> str:
    return f"u:{user}"


def group_channel(group: int) -> str:
    return f"g:{group}"
