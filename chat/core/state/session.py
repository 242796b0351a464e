"""One connection's session: who is there, what state it is in, what it waits for.

Theory of operation
-------------------

What may happen in which state is the table in spec/messages.yaml, nothing else; `step` looks the
cell up, changes the state if the cell says so, and gives the rule back to be carried out.

Requests are taken one after the other, and replies leave in the same order:

- A send (`chat`, `group_chat`) is asked of the store without waiting for the one before, up to
  `in_flight` of them. The store answers them in order.
- Anything else waits until nothing is under way, and what comes after it waits for its reply.
- What waits is not parsed: one request stands in `waiting`, the rest stays as bytes in the
  splitter; when that is too much, the peer is not read from. So a peer that asks faster than
  it is answered costs a bounded number of bytes.

`sending` holds the keys of the sends under way. The stream of a conversation stops on this
connection before an entry with such a key: the reply, `sent`, is to stand in its place. `acks`
holds replies that are known already, but whose place the stream has not reached.

Invariants: `user` is set exactly in READY; a session in CLOSING is attached to no conversation and
to no user; `under_way` is the number of requests that were taken and not answered.
"""

from chat.core.state.conversation import Conversation
from chat.core.state.user import LocalUser
from chat.protocol.codec import FrameSplitter, Problem
from chat.protocol.messages import Request
from chat.protocol.rules import RULES, Input, Rule, State, Verdict

Waiting = Request | Problem


class Session:
    """The state of one connection. It is changed by the handlers and does nothing by itself."""

    __slots__ = (
        "acks",
        "address",
        "connection",
        "conversations",
        "counted",
        "draining",
        "entering",
        "expected",
        "frames",
        "full",
        "heard_at_ms",
        "line_since_ms",
        "listens_to",
        "next_check_ms",
        "pinged",
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
        self.state = State.ANONYMOUS
        self.since_ms = now_ms
        """When the present state began."""
        self.user: LocalUser | None = None
        self.counted = False
        """It counts as unauthenticated at its address."""
        self.entering: LocalUser | None = None
        """The user this connection will be of, once their friends' states are known."""
        self.expected: int | None = None
        """The user whose roster is asked for, for this connection to be theirs."""
        self.listens_to: str | None = None
        """The user channel that this connection needs."""
        self.token = ""
        self.conversations: dict[int, Conversation] = {}
        """Those this connection is attached to."""
        self.frames = FrameSplitter()
        self.waiting: Waiting | None = None
        self.under_way = 0
        self.sending: set[str] = set()
        self.stopped: set[int] = set()
        """Conversations whose stream waits for the answer to a key in `sending`."""
        self.acks: dict[tuple[int, int], bytes] = {}
        """By conversation and seq: `sent` frames whose place has not come."""
        self.full = False
        """The outbound buffer is over its limit."""
        self.draining = False
        self.reading_paused = False
        self.heard_at_ms = now_ms
        self.pinged = False
        self.line_since_ms: int | None = None
        self.progress_at_ms = now_ms
        self.next_check_ms: int | None = None

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
