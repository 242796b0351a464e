"""Log entries as the frames in which connections get them."""

from typing import Final

import msgspec

from chat.core.ports.operations import LogEntry
from chat.protocol.codec import encode
from chat.protocol.messages import EntryKind, MessagePush, User

_encode: Final = msgspec.json.Encoder().encode
_MESSAGE: Final = (
    b'{"type":"message","conversation":%d,"seq":%d,"kind":"text","from":{"id":%d,"name":%b},'
    b'"text":%b,"at":%d}\n'
)
# Members of enumerations are looked up slowly, so those of the hot path are constants.
_TEXT: Final = EntryKind.TEXT


def encode_entry(entry: LogEntry, *, own: bool) -> bytes:
    """The entry as a `message` push; only its sender's devices get to see the key."""
    if entry.kind is _TEXT and not own:
        # Nearly all are these, and the parts that have to be encoded are few.
        return _MESSAGE % (
            entry.conversation,
            entry.seq,
            entry.sender,
            _encode(entry.sender_name),
            _encode(entry.text),
            entry.at_ms,
        )
    return encode(
        MessagePush(
            conversation=entry.conversation,
            seq=entry.seq,
            kind=entry.kind,
            from_=User(id=entry.sender, name=entry.sender_name),
            text=entry.text,
            at=entry.at_ms,
            key=entry.key if own else None,
        )
    )
