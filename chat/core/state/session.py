"""One connection's session: its state, and what each part of the node keeps about it.

Theory of operation
-------------------

What may happen in which state is the table in spec/messages.yaml, nothing else. `step` looks up the
cell of an input, changes the state if the cell says so, and returns the rule to be carried out.

Four conditions stand beside the state; they decide when the next request is taken, never whether
it is legal, and so they have no column in the table:

- `waiting`: the next request cannot be taken yet, because an earlier one is under way, because the
  state holds it, or because the connection has used up its quantum.
- `paced`: lines came faster than the connection may send them, and the next one is taken later.
- `full`: the outbound buffer is over its limit, so no request is taken and no entry is delivered.
- `finishing`: the peer has ended its input, or the node is draining, and so no further request will
  be taken. When the last one is answered the input is FINISHED, and that is in the table again.

Requests are taken one after the other, and replies leave in the same order:

- A send (`chat`, `group_chat`) is asked of the store without waiting for the send before it, up to
  `in_flight` of them. The store answers them in order.
- Any other request waits until nothing is under way, and what comes after it waits for its reply.
- Of what waits only the first request is parsed, and stands in `waiting`. The rest stays as bytes
  in the splitter; when that is too much, the peer is not read from. So a peer that asks faster than
  it is answered costs a bounded number of bytes.

`sending` holds the keys of the sends under way. The stream of a conversation stops on this
connection before an entry with such a key, because the reply, `sent`, is to stand in its place.
`acks` holds replies that are known already, but whose place the stream has not reached.

The fields stand in groups. A group is written by the part named above it, and read by all;
tests/core/test_field_owners.py checks that.

Invariants: `user` is set exactly in READY; a session in CLOSING is attached to no conversation and
to no user; `under_way` is the number of requests that were taken and not answered.
"""

from typing import TypeAlias

from chat.core.state.conversation import Conversation
from chat.core.state.user import LocalUser
from chat.protocol.codec import Problem
from chat.protocol.frames import FrameSplitter
from chat.protocol.messages import Request
from chat.protocol.rules import RULES, Input, Rule, State, Verdict

DecodedLine: TypeAlias = Request | Problem
"""A request, or what is wrong with a line that is none."""


class Session:
    """The state of one connection. It is changed by its owners and does nothing by itself."""

    __slots__ = (
        "acks",
        "address",
        "admitted",
        "authenticating_as",
        "awaits_roster_of",
        "channel",
        "check_at_ms",
        "connection",
        "conversations",
        "draining",
        "failures",
        "finishing",
        "frames",
        "full",
        "heard_at_ms",
        "input_ended_at_ms",
        "line_since_ms",
        "lines_full_at_ms",
        "lingers",
        "paced",
        "pinged_at_ms",
        "progress_at_ms",
        "reading_paused",
        "sending",
        "since_ms",
        "state",
        "stopped",
        "token",
        "under_way",
        "user",
        "waiting",
    )

    def __init__(self, connection: int, address: str, now_ms: int) -> None:
        self.connection = connection
        self.address = address
        """What the limits of an address count by (see upkeep/admission)."""

        # state/session: `step`
        self.state = State.ANONYMOUS
        self.since_ms = now_ms

        # requests/scheduler (and state/context, which counts replies and charges lines)
        self.frames = FrameSplitter()
        self.waiting: DecodedLine | None = None
        self.under_way = 0
        self.finishing = False
        """No request will be taken after those that have come, or, if `draining`, after those that
        are under way."""
        self.draining = False
        self.input_ended_at_ms: int | None = None
        """When the peer shut its side of the connection down; it may still be written to."""
        self.reading_paused = False
        self.heard_at_ms = now_ms
        self.line_since_ms: int | None = None
        """When the first bytes of an unfinished line came."""
        self.lines_full_at_ms = 0.0
        """When the budget of lines will be full again (see state/rate_limiter)."""
        self.paced = False

        # requests/messaging
        self.sending: set[str] = set()

        # requests/authentication
        self.token = ""
        self.failures = 0
        """Logins and resumes that failed on this connection since it was logged in."""
        self.channel: str | None = None
        """The user channel that this connection needs."""
        self.authenticating_as: LocalUser | None = None
        """Whose roster was read for this connection, until it is READY."""

        # roster/roster_sync
        self.user: LocalUser | None = None
        self.awaits_roster_of: int | None = None
        """The user whose roster is about to be read for this connection."""

        # delivery/device_streams
        self.conversations: dict[int, Conversation] = {}
        """The conversations that this connection is attached to."""
        self.stopped: set[int] = set()
        """Conversations whose stream waits for the answer to a key in `sending`."""
        self.acks: dict[tuple[int, int], bytes] = {}
        """By conversation and seq: `sent` frames whose place has not come."""

        # delivery/flow_control
        self.full = False
        """The outbound buffer is over its limit."""
        self.progress_at_ms = now_ms
        """When the peer last took bytes while the buffer was full."""

        # upkeep/timers
        self.pinged_at_ms = 0
        self.check_at_ms: int | None = None
        """When the timers look at the session next."""

        # upkeep/admission
        self.admitted = False
        """It counts as a connection of its address."""
        self.lingers = False
        """It was refused, and is to be closed a little later."""

    @property
    def pinged(self) -> bool:
        """Whether a ping is out that the peer has not answered."""
        return self.pinged_at_ms > self.heard_at_ms

    def step(self, input: Input, now_ms: int) -> Rule:
        """The rule for this input in the present state; the state is changed as it says."""
        rule = RULES[self.state][input]
        if rule.verdict is Verdict.NEVER:
            raise AssertionError(f"{input.name} cannot come about in {self.state.name}")
        if rule.next is not None and rule.next is not self.state:
            self.state = rule.next
            self.since_ms = now_ms
        return rule

    def rule(self, input: Input) -> Rule:
        """The rule for this input in the present state; nothing is changed."""
        return RULES[self.state][input]
