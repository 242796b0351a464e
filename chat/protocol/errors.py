# Generated from spec/messages.yaml by spec/generate.py; do not edit; run `make spec`.
"""The codes of the `error` reply."""

import enum
from typing import Final, NamedTuple


class ErrorCode(enum.StrEnum):
    """Why a request was not carried out."""

    BAD_FRAME = "bad_frame"
    TOO_LONG = "too_long"
    WRONG_PROTOCOL = "wrong_protocol"
    BAD_MESSAGE = "bad_message"
    UNKNOWN_TYPE = "unknown_type"
    NOT_LOGGED_IN = "not_logged_in"
    ALREADY_LOGGED_IN = "already_logged_in"
    TOO_SLOW = "too_slow"
    BAD_CREDENTIALS = "bad_credentials"
    NAME_TAKEN = "name_taken"
    NO_SUCH_USER = "no_such_user"
    NO_SUCH_GROUP = "no_such_group"
    NOT_FRIENDS = "not_friends"
    BLOCKED = "blocked"
    NOT_MEMBER = "not_member"
    ALREADY_MEMBER = "already_member"
    FORBIDDEN = "forbidden"
    KEY_CONFLICT = "key_conflict"
    LIMIT_REACHED = "limit_reached"
    RATE_LIMITED = "rate_limited"
    REPLACED = "replaced"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"


class ErrorInfo(NamedTuple):
    """What goes with a code, whatever the request was."""

    message: str
    """What to do, in one sentence."""
    retry: bool
    """Waiting helps."""
    closes: bool
    """The connection is closed after it."""


ERRORS: Final[dict[ErrorCode, ErrorInfo]] = {
    ErrorCode.BAD_FRAME: ErrorInfo(
        (
            "That line is not one JSON object in UTF-8; send one object a line and end it "
            "with a newline."
        ),
        retry=False,
        closes=False,
    ),
    ErrorCode.TOO_LONG: ErrorInfo(
        "That line is longer than this connection may send; shorten it and connect again.",
        retry=False,
        closes=True,
    ),
    ErrorCode.WRONG_PROTOCOL: ErrorInfo(
        (
            "This port speaks the chat protocol, one JSON object a line, and neither HTTP nor"
            " TLS; connect with a chat client."
        ),
        retry=False,
        closes=True,
    ),
    ErrorCode.BAD_MESSAGE: ErrorInfo(
        "A field is missing or has a wrong value; see the message for which one.",
        retry=False,
        closes=False,
    ),
    ErrorCode.UNKNOWN_TYPE: ErrorInfo(
        "This node knows no request of that type; see the protocol for those there are.",
        retry=False,
        closes=False,
    ),
    ErrorCode.NOT_LOGGED_IN: ErrorInfo(
        "Log in first; this connection is not logged in.", retry=False, closes=False
    ),
    ErrorCode.ALREADY_LOGGED_IN: ErrorInfo(
        "This connection is logged in already; log out first or open another one.",
        retry=False,
        closes=False,
    ),
    ErrorCode.TOO_SLOW: ErrorInfo(
        "That took too long; connect again and send whole lines sooner.", retry=False, closes=True
    ),
    ErrorCode.BAD_CREDENTIALS: ErrorInfo(
        "User and secret do not match; check both and log in again.", retry=False, closes=False
    ),
    ErrorCode.NAME_TAKEN: ErrorInfo(
        "Somebody has that name already; choose another one.", retry=False, closes=False
    ),
    ErrorCode.NO_SUCH_USER: ErrorInfo(
        "There is no such user; check the number or the name.", retry=False, closes=False
    ),
    ErrorCode.NO_SUCH_GROUP: ErrorInfo(
        "There is no such group; check its number.", retry=False, closes=False
    ),
    ErrorCode.NOT_FRIENDS: ErrorInfo(
        "You are not friends; add the user first and wait until they add you.",
        retry=False,
        closes=False,
    ),
    ErrorCode.BLOCKED: ErrorInfo(
        "One of you has blocked the other; it has to be taken back first.",
        retry=False,
        closes=False,
    ),
    ErrorCode.NOT_MEMBER: ErrorInfo(
        "You are not a member of that conversation; join it first.", retry=False, closes=False
    ),
    ErrorCode.ALREADY_MEMBER: ErrorInfo(
        "You are a member of that group already; just write to it.", retry=False, closes=False
    ),
    ErrorCode.FORBIDDEN: ErrorInfo(
        "You may not do that; ask the owner, or check whom you named.", retry=False, closes=False
    ),
    ErrorCode.KEY_CONFLICT: ErrorInfo(
        "That key was used for another message; choose a new key.", retry=False, closes=False
    ),
    ErrorCode.LIMIT_REACHED: ErrorInfo(
        "You have reached a limit of this server; see its message for which one.",
        retry=False,
        closes=False,
    ),
    ErrorCode.RATE_LIMITED: ErrorInfo(
        "That was too much at once; wait a little and send it again.", retry=True, closes=False
    ),
    ErrorCode.REPLACED: ErrorInfo(
        (
            "A newer connection took the place of this one, since the connections of a user "
            "are limited; close the connections that you do not need."
        ),
        retry=False,
        closes=True,
    ),
    ErrorCode.BUSY: ErrorInfo(
        "The node is busy; wait a little and try again.", retry=True, closes=False
    ),
    ErrorCode.UNAVAILABLE: ErrorInfo(
        ("The store cannot be reached at the moment, nothing was stored; try again shortly."),
        retry=True,
        closes=False,
    ),
}
