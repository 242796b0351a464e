"""Operations: how many of each kind are under way, and whose turn it is.

- Of no kind are more under way than the limit.
- No operation waits while there is room for it; pages of history may, as there are pauses between
  them.
- Of operations of one kind that wait, no user is served twice while another one waits.

Checked are the operations that users ask for when they are logged in: those say whose they are. An
operation waits from when its request was taken until it goes out as a Query.
"""

from collections import Counter, deque

from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.state.config import NodeConfig
from chat.core.state.operation_queues import UnderWayLimits
from chat.protocol import messages
from sim.checkers import Violation
from sim.checkers.limits.peers import Closing, Line, Step

READS = (op.ReadRoster, op.ReadProfile, op.ReadHeads, op.ReadMembers, op.FindDevice)
FIRST_OPERATION: dict[type, type] = {
    messages.AddFriendRequest: op.AddFriend,
    messages.RemoveFriendRequest: op.RemoveFriend,
    messages.BlockRequest: op.Block,
    messages.UnblockRequest: op.Unblock,
    messages.ChatRequest: op.Append,
    messages.GroupChatRequest: op.Append,
    messages.CreateGroupRequest: op.CreateGroup,
    messages.JoinGroupRequest: op.JoinGroup,
    messages.LeaveGroupRequest: op.LeaveGroup,
    messages.DeleteGroupRequest: op.DeleteGroup,
    messages.RenameGroupRequest: op.RenameGroup,
    messages.MembersRequest: op.ReadMembers,
    messages.HistoryRequest: op.ReadHistory,
    messages.MarkReadRequest: op.MarkRead,
    messages.ProfileRequest: op.ReadProfile,
}
"""By request of a user who is logged in: what it asks for first."""


def kind_of(operation: type) -> str | None:
    """The kind of an operation; None for those that have no queue."""
    if operation is op.Append:
        return "append"
    if operation is op.ReadHistory:
        return "history"
    if operation is op.FindAccount:
        return "account"
    if operation in READS:
        return "read"
    if operation in (op.HashPassword, op.CheckPassword):
        return "password"
    return None if operation in (op.ReadLog, op.FindPresence) else "write"


_Kind = str


class UnderWay:
    """The operations of one node."""

    def __init__(self, config: NodeConfig, limits: UnderWayLimits, seen: Counter[str]) -> None:
        self.by_kind: Counter[_Kind] = Counter()
        """How many are under way."""
        self._limits = {
            "append": limits.appends,
            "write": limits.writes,
            "read": limits.reads,
            "history": limits.history,
            "account": limits.accounts,
            "password": config.password_hashes,
        }
        self._seen = seen
        self._tickets: dict[int, _Kind] = {}
        self._waiting: dict[tuple[int, type], deque[Line]] = {}
        """By user and type of operation: the lines whose operations have not gone out."""
        self._served: dict[_Kind, dict[int, set[int]]] = {}
        """By kind and user that waits: who was served since that user began to wait."""
        self._logins = 0
        """How many logins were taken whose accounts have not been asked for."""

    def check(self, event: AnyEvent, effects: list[AnyEffect], steps: list[Step | Closing]) -> None:
        for ticket in answered_tickets(event):
            kind = self._tickets.pop(ticket, None)
            if kind is not None:
                self.by_kind[kind] -= 1
        for step in steps:
            if isinstance(step, Step) and step.taken and step.frame is None:
                self._taken(step)
        for effect in effects:
            if isinstance(effect, fx.Query):
                self._went_out(effect)
        for step in steps:
            if isinstance(step, Step) and step.frame is not None:
                self._answered(step)
        if self._waiting or self._served or self._logins:
            self._check_what_waits()

    def _taken(self, step: Step) -> None:
        operation = FIRST_OPERATION.get(type(step.line.request))
        if step.user is not None and operation is not None:
            self._waiting.setdefault((step.user, operation), deque()).append(step.line)
        elif step.user is None and isinstance(step.line.request, messages.LoginRequest):
            self._logins += 1

    def _went_out(self, query: fx.Query) -> None:
        operation = query.operation
        kind = kind_of(type(operation))
        if kind is None:
            return
        self._tickets[query.ticket] = kind
        self.by_kind[kind] += 1
        if self.by_kind[kind] > self._limits[kind]:
            raise Violation(
                "of no kind are more operations under way than the limit",
                f"{self.by_kind[kind]} of {kind}",
            )
        if kind == "account":
            self._logins -= 1
        user = operation.sender if isinstance(operation, op.Append) else None
        if user is None:
            user = getattr(operation, "user", None)
        lines = self._waiting.get((user, type(operation))) if isinstance(user, int) else None
        if not lines or not isinstance(user, int):
            return
        lines.popleft()
        served = self._served.get(kind, {})
        # Whether something else of this user waits already, or only after this event, is not known;
        # so it counts as waiting anew when the event is over.
        served.pop(user, None)
        for other, since in served.items():
            if other != user and user in since:
                raise Violation(
                    "no user is served twice while another one waits",
                    f"{type(operation).__name__} of user {user}, while user {other} waits",
                )
            since.add(user)

    def _answered(self, step: Step) -> None:
        """What was answered without its operation does not wait for that."""
        operation = FIRST_OPERATION.get(type(step.line.request))
        if step.user is not None and operation is not None:
            lines = self._waiting.get((step.user, operation))
            if lines and step.line in lines:
                lines.remove(step.line)

    def _check_what_waits(self) -> None:
        waiting: dict[_Kind, set[int]] = {}
        for (user, operation), lines in list(self._waiting.items()):
            if lines:
                kind = kind_of(operation)
                assert kind is not None
                waiting.setdefault(kind, set()).add(user)
            else:
                del self._waiting[user, operation]
        for kind, served in list(self._served.items()):
            for user in served.keys() - waiting.get(kind, set()):
                del served[user]
        for kind, users in waiting.items():
            self._check_room(kind)
            served = self._served.setdefault(kind, {})
            for user in users:
                served.setdefault(user, set())
        if self._logins:
            self._check_room("account")

    def _check_room(self, kind: _Kind) -> None:
        self._seen[f"{kind}_waited"] += 1
        if kind == "history":
            return  # A page of history waits for its turn among the large replies, too.
        if self.by_kind[kind] < self._limits[kind]:
            raise Violation(
                "no operation waits while there is room for it",
                f"of {kind} {self.by_kind[kind]} are under way",
            )


def answered_tickets(event: AnyEvent) -> tuple[int, ...]:
    """The tickets of the queries that an event answers."""
    if isinstance(event, ev.Answer):
        return (event.ticket,)
    if isinstance(event, ev.Answers):
        return tuple(ticket for ticket, _ in event.answers)
    return ()
