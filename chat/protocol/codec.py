"""Lines to messages, and messages to bytes; for the node's side and the client's. How bytes become
lines is in frames.py.

Decoding a request never raises on bad input. It gives a `Problem`: the error code that the peer
gets, the request id if one could be read, and a sentence. Decoding a server message raises
`BadMessage`: a client gives up a connection on which it reads what it cannot understand.

The work on a line is linear in its bytes: each is looked at by a fixed number of searches, and by
as many as objects may be nested where brackets are counted. tests/linear measures it.
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.frames import begins_other_protocol
from chat.protocol.messages import (
    ChatRequest,
    ErrorReply,
    GroupChatRequest,
    Request,
    ServerMessage,
)
from chat.protocol.rules import BYTE_LIMITS, LIMITS, PATTERNS, REQUEST_INPUT

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Request).decode
_decode_server_message: Final = msgspec.json.Decoder(ServerMessage).decode
SENDS: Final = (ChatRequest, GroupChatRequest)
_TEXT: Final = dict(PATTERNS[ChatRequest])["text"]
_TYPES: Final = frozenset(str(request.__struct_config__.tag) for request in REQUEST_INPUT)
_MAX_ID: Final = 2**53
# An unterminated string is matched up to its end, and nothing is matched twice: the work is linear.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_SENT: Final = b'{"type":"sent","re":%d,"conversation":%d,"seq":%d,"at":%d}\n'
_PATTERN: Final = re.compile(r"matching regex '.*'")
NOT_THE_PROTOCOL: Final = "the node sent something that is not the protocol"


class Problem(Struct, frozen=True, gc=False):
    """A line that is not a request: what its sender is told."""

    code: ErrorCode
    re: int | None
    message: str


class _Header(Struct):
    """What can be told of a request whose fields are wrong."""

    type: object = None
    id: object = None


class _ReplyHeader(Struct):
    """What can be told of a server message whose fields are wrong. A message with `re` is a
    reply."""

    type: str
    re: object = msgspec.UNSET


_decode_reply_header: Final = msgspec.json.Decoder(_ReplyHeader).decode


class BadMessage(Exception):
    """A line that is no server message; its text is a few words for the user of the client."""


def decode_request(line: bytes) -> Request | Problem:
    """The request that a line holds, or what is wrong with it."""
    try:
        if not line.isascii():
            line.decode()
        request: Request = _decode(line)
    except msgspec.ValidationError as error:
        return _classify(line, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _no_frame(line)
    # Most lines are one flat object, which is told quickly. That a line is JSON is known already,
    # and so what looks at its nesting is not spent on lines that are not.
    if (line.rfind(b"{") > 0 or line.rfind(b"[") > 0) and _too_deep(line):
        return _no_frame(line)
    if isinstance(request, SENDS):
        # What the patterns say, in ways that are quicker: most texts are printable.
        if not request.text.isprintable() and not _TEXT.match(request.text):
            return _bad_field(request, "text", "has control characters other than newline and tab")
        key = request.key
        if not (key.isascii() and key.isprintable() and " " not in key):
            return _bad_field(request, "key", "must be printable ASCII without spaces")
        return request
    for field, min_bytes, max_bytes in BYTE_LIMITS.get(type(request), ()):
        if not min_bytes <= len(getattr(request, field).encode()) <= max_bytes:
            return _bad_field(request, field, f"must have {min_bytes} to {max_bytes} bytes")
    return request


def _classify(line: bytes, reason: str) -> Problem:
    try:
        header = msgspec.json.decode(line, type=_Header)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError):
        return _no_frame(line)
    if _too_deep(line):
        return _no_frame(line)
    number = header.id
    if type(number) is not int or not 0 <= number <= _MAX_ID:
        number = None
    if isinstance(header.type, str) and header.type not in _TYPES:
        return _problem(ErrorCode.UNKNOWN_TYPE, number)
    reason = _PATTERN.sub("in the form that the protocol has for it", reason)
    return _problem(ErrorCode.BAD_MESSAGE, number, f"A field is missing or wrong: {reason[:240]}.")


def _bad_field(request: Request, field: str, what: str) -> Problem:
    return _problem(ErrorCode.BAD_MESSAGE, request.id, f"`{field}` {what}.")


def _no_frame(line: bytes) -> Problem:
    other = begins_other_protocol(line)
    return _problem(ErrorCode.WRONG_PROTOCOL if other else ErrorCode.BAD_FRAME)


def _problem(code: ErrorCode, re: int | None = None, message: str | None = None) -> Problem:
    return Problem(code, re, message or ERRORS[code].message)


def _too_deep(line: bytes) -> bool:
    """Whether objects and arrays are nested deeper than the limit; brackets in strings do not
    count. The line is JSON."""
    if line.count(b"{") + line.count(b"[") <= LIMITS.nesting:
        return False
    brackets = _STRING.sub(b"", line).translate(_AS_SQUARE, _NO_BRACKETS)
    if brackets.count(b"[") <= LIMITS.nesting:
        return False
    # Each pass takes out the innermost pairs, and so one level.
    for _ in range(LIMITS.nesting):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


# ------------------------------------------------------------------------ the client's side


def decode_server_message(line: bytes) -> ServerMessage | None:
    """The message that a line holds; None for a push that is not known or has fields that are not
    understood, since a newer node may send such. A reply must be understood, because a request
    waits for it. Raises BadMessage."""
    try:
        message: ServerMessage = _decode_server_message(line)
    except msgspec.ValidationError:
        _check_may_be_left_out(line)
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(NOT_THE_PROTOCOL) from error
    return message


def _check_may_be_left_out(line: bytes) -> None:
    """Raises BadMessage unless the line is a push."""
    try:
        header = _decode_reply_header(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(NOT_THE_PROTOCOL) from error
    if header.re is not msgspec.UNSET:
        raise BadMessage("the node sent an answer that this client does not understand")


def encode_request(request: Request) -> bytes:
    """The request as a frame, newline included."""
    return _encode(request) + b"\n"


# -------------------------------------------------------------------------- the node's side


def encode(message: ServerMessage) -> bytes:
    """The message as a frame, newline included."""
    return _encode(message) + b"\n"


def encode_error(
    code: ErrorCode, re: int | None, message: str | None = None, retry_after_ms: int | None = None
) -> bytes:
    """An error as a frame; the sentence is the code's own unless one is given."""
    return encode(
        ErrorReply(
            re=re, code=code, message=message or ERRORS[code].message, retry_after_ms=retry_after_ms
        )
    )


def encode_sent(re: int, conversation: int, seq: int, at_ms: int) -> bytes:
    """A `sent`. Numbers need no encoder."""
    return _SENT % (re, conversation, seq, at_ms)
