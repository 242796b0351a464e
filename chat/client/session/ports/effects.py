"""What a client session wants done. Plain data; the driver carries it out, in order.

The first three are for the connection. The rest are notices (notices.py), for the user interface.
`connection` is a number that the session gives: 1, 2, 3 …, one for each Dial.
"""

from msgspec import Struct

from chat.client.session.ports.notices import AnyNotice


class Effect(Struct, frozen=True, gc=False, tag_field="effect"):
    """Base of the effects that are not notices."""


class Dial(Effect, frozen=True):
    """Connect to the node; Connected or Disconnected comes back."""

    connection: int


class Transmit(Effect, frozen=True):
    """Send whole lines, newlines included."""

    connection: int
    data: bytes


class HangUp(Effect, frozen=True):
    """Send what is buffered, then end the connection; nothing needs to come back."""

    connection: int


AnyEffect = Dial | Transmit | HangUp | AnyNotice
