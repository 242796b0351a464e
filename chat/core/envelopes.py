"""What nodes say to each other over the bus.

An envelope is a hint that saves time and is never relied on: the log and the rosters in the
store are the truth, and a sweep finds what an envelope failed to tell. Channels are `u:ID`
(a user) and `g:ID` (a group).
"""

from typing import Final

import msgspec
from msgspec import Struct

from chat.core._generated.messages import PresenceState
from chat.core.operations import LogEntry


class Envelope(Struct, frozen=True, gc=False, tag_field="t"):
    """Base of all envelopes."""


class EntryEnvelope(Envelope, frozen=True, tag="entry"):
    """The head of the entry's conversation is at least its seq; and this is that entry."""

    entry: LogEntry


class RosterEnvelope(Envelope, frozen=True, tag="roster"):
    """The version of the user's roster is at least this."""

    user: int
    version: int


class PresenceEnvelope(Envelope, frozen=True, tag="presence"):
    """A friend of the channel's user came or went."""

    user: int
    state: PresenceState


class ReceiptEnvelope(Envelope, frozen=True, tag="receipt"):
    """`user` has read the conversation up to `seq`."""

    conversation: int
    user: int
    seq: int


AnyEnvelope = EntryEnvelope | RosterEnvelope | PresenceEnvelope | ReceiptEnvelope

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(AnyEnvelope)


def encode_envelope(envelope: AnyEnvelope) -> bytes:
    """The envelope as one JSON object, without a newline."""
    return _encoder.encode(envelope)


def decode_envelope(data: bytes) -> AnyEnvelope:
    """Raises msgspec.DecodeError (or its subclass ValidationError) if it is none."""
    envelope: AnyEnvelope = _decoder.decode(data)
    return envelope


def user_channel(user: int) -> str:
    return f"u:{user}"


def group_channel(group: int) -> str:
    return f"g:{group}"
