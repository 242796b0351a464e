"""What must hold at every instant, faults or not.

- Durable: what a sender was told is stored is in the log, at that seq, with that text, for ever.
- Exactly once, in order: what a device applies is a contiguous run of the log.
- Only members at that seq see an entry.
- Retry is safe: an error was never stored.
- First-in first-out per device within a conversation.
- The key of an entry is shown to nobody but its sender.
"""

from collections import Counter

from chat.client.session import interface as io
from chat.protocol.messages import Entry
from sim.checkers import Violation
from sim.checkers.audit import Audit, may_see
from sim.checkers.log import Log
from sim.cluster.device import Said, SimDevice


class Safety:
    """Looks at every effect of every device as it happens, and at everything at the end."""

    def __init__(self, log: Log, audit: Audit, user_ids: dict[str, int]) -> None:
        self._log = log
        self._audit = audit
        self._user_ids = user_ids

    def saw(self, device: SimDevice, effect: io.AnyEffect) -> None:
        if isinstance(effect, io.EntryApplied):
            self._applied(device, effect.conversation, effect.entry)
        elif isinstance(effect, io.SendSettled):
            self._stored(device, device.said[effect.ref])
        elif isinstance(effect, io.SendFailed) and not effect.unknown:
            self._not_stored(device, device.said[effect.ref])

    def _applied(self, device: SimDevice, conversation: int, entry: Entry) -> None:
        run = device.applied[conversation]
        if len(run) > 1 and entry.seq != run[-2].seq + 1 and not self._rejoined(device, run):
            raise Violation(
                "what a device applied is a contiguous run",
                f"{device.name} applied {entry.seq} after {run[-2].seq} of {conversation}",
            )
        if entry.key is not None and entry.from_.id != self._user_ids[device.user]:
            raise Violation(
                "a key is shown to nobody but its sender",
                f"{device.name} was shown {entry.key} of {entry.from_.name}",
            )
        stored = self._log.entry(conversation, entry.seq)
        seen = (entry.from_.id, str(entry.kind), entry.text)
        if stored is None or stored[:3] != seen:
            raise Violation(
                "what a device applied is in the log",
                f"{device.name} applied {seen} at {conversation}/{entry.seq}, the log has {stored}",
            )

    def _rejoined(self, device: SimDevice, run: list[Entry]) -> bool:
        """Whether a gap is the time between leaving a group and joining it again."""
        user = self._user_ids[device.user]
        return run[-1].kind == "joined" and run[-1].from_.id == user and run[-1].seq > run[-2].seq

    def _stored(self, device: SimDevice, said: Said) -> None:
        assert said.settled is not None
        stored = self._log.entry(*said.settled)
        wanted = (self._user_ids[device.user], "text", said.text, said.key)
        if stored != wanted:
            raise Violation(
                "what was sent is in the log",
                f"{device.name} was told {said.settled} for {wanted}, the log has {stored}",
            )

    def _not_stored(self, device: SimDevice, said: Said) -> None:
        if said.key is not None and self._log.has_key(said.key):
            raise Violation(
                "an error was never stored",
                f"{device.name} was told {said.failed} for {said.text}, but it is in the log",
            )

    # ------------------------------------------------------------------ at the end

    def all_devices(self, devices: list[SimDevice]) -> None:
        """Everything again, against the logs as they are now."""
        for device in devices:
            self._in_order(device)
            for said in device.said.values():
                if said.settled is not None:
                    self._stored(device, said)
                elif said.failed not in (None, "unknown"):
                    self._not_stored(device, said)
        self._said_once(devices)
        self._only_members(devices)

    def _said_once(self, devices: list[SimDevice]) -> None:
        """What was said is in the log as often as it was said, at most; what failed, not at all."""
        said: Counter[tuple[int, str]] = Counter()
        for device in devices:
            for one in device.said.values():
                failed = one.failed not in (None, "unknown")
                said[self._user_ids[device.user], one.text] += 0 if failed else 1
        for (user, text), count in self._log.texts().items():
            if count > said.get((user, text), count):
                raise Violation(
                    "what was said is in the log once",
                    f"{text} of user {user} is there {count} times, "
                    f"said or unknown {said[user, text]} times",
                )

    def _in_order(self, device: SimDevice) -> None:
        last: dict[int, int] = {}
        for said in device.said.values():
            if said.settled is not None:
                conversation, seq = said.settled
                if seq <= last.get(conversation, 0):
                    raise Violation(
                        "first-in first-out per device",
                        f"{said.text} of {device.name} is at {conversation}/{seq}, "
                        f"after {last[conversation]}",
                    )
                last[conversation] = seq

    def _only_members(self, devices: list[SimDevice]) -> None:
        for device in devices:
            user = self._user_ids[device.user]
            for conversation, run in device.applied.items():
                spans = self._audit.spans(user, conversation)
                for entry in run:
                    if not may_see(spans, entry.seq, entry.kind):
                        raise Violation(
                            "only members at that seq see an entry",
                            f"{device.name} saw {entry.seq} of {conversation}, a member in {spans}",
                        )
