"""Safety: what must hold at every instant, with or without faults.

- Durable: a text that its sender was told is stored is in the log, at that seq, for ever.
- Exactly once, in order: what a device applies is a contiguous run of the log.
- Only members at that seq see an entry.
- Retry is safe: a text that got an error was never stored.
- First-in first-out per device within a conversation.
- The key of an entry is shown to its sender only.
"""

from collections import Counter

from chat.client.session.ports import notices
from chat.client.session.ports.effects import AnyEffect as ClientEffect
from chat.protocol.messages import Entry
from sim.checkers import Violation
from sim.checkers.audit import Audit, may_see
from sim.checkers.log import Log
from sim.cluster.device import SentText, SimDevice


class Safety:
    """Checks every effect of every device as it happens, and everything again at the end."""

    def __init__(self, log: Log, audit: Audit, user_ids: dict[str, int]) -> None:
        self._log = log
        self._audit = audit
        self._user_ids = user_ids

    def check(self, device: SimDevice, effect: ClientEffect) -> None:
        if isinstance(effect, notices.EntryApplied):
            self._applied(device, effect.conversation, effect.entry)
        elif isinstance(effect, notices.SendSettled):
            self._stored(device, device.sent_texts[effect.ref])
        elif isinstance(effect, notices.SendFailed) and not effect.unknown:
            self._not_stored(device, device.sent_texts[effect.ref])

    def _applied(self, device: SimDevice, conversation: int, entry: Entry) -> None:
        run = device.applied[conversation]
        if len(run) > 1 and entry.seq != run[-2].seq + 1 and not self._rejoined(device, run):
            raise Violation(
                "what a device applied is a contiguous run",
                f"{device.name} applied {entry.seq} after {run[-2].seq} of {conversation}",
            )
        if entry.key is not None and entry.from_.id != self._user_ids[device.user]:
            raise Violation(
                "a key is shown to its sender only",
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

    def _stored(self, device: SimDevice, sent: SentText) -> None:
        assert sent.settled is not None
        stored = self._log.entry(*sent.settled)
        wanted = (self._user_ids[device.user], "text", sent.text, sent.key)
        if stored != wanted:
            raise Violation(
                "what was sent is in the log",
                f"{device.name} was told {sent.settled} for {wanted}, the log has {stored}",
            )

    def _not_stored(self, device: SimDevice, sent: SentText) -> None:
        if sent.key is not None and self._log.has_key(sent.key):
            raise Violation(
                "an error was never stored",
                f"{device.name} was told {sent.failed} for {sent.text}, but it is in the log",
            )

    # ------------------------------------------------------------------ at the end

    def check_all(self, devices: list[SimDevice]) -> None:
        """Checks everything again, against the logs as they are now."""
        for device in devices:
            self._in_order(device)
            for sent in device.sent_texts.values():
                if sent.settled is not None:
                    self._stored(device, sent)
                elif sent.failed not in (None, "unknown"):
                    self._not_stored(device, sent)
        self._stored_once(devices)
        self._only_members(devices)

    def _stored_once(self, devices: list[SimDevice]) -> None:
        """A text is in the log at most as often as it was sent; one that failed, not at all."""
        sent: Counter[tuple[int, str]] = Counter()
        for device in devices:
            for one in device.sent_texts.values():
                failed = one.failed not in (None, "unknown")
                sent[self._user_ids[device.user], one.text] += 0 if failed else 1
        for (user, text), count in self._log.texts().items():
            if count > sent.get((user, text), count):
                raise Violation(
                    "a text is in the log once",
                    f"{text} of user {user} is there {count} times, "
                    f"sent or unknown {sent[user, text]} times",
                )

    def _in_order(self, device: SimDevice) -> None:
        last: dict[int, int] = {}
        for sent in device.sent_texts.values():
            if sent.settled is not None:
                conversation, seq = sent.settled
                if seq <= last.get(conversation, 0):
                    raise Violation(
                        "first-in first-out per device",
                        f"{sent.text} of {device.name} is at {conversation}/{seq}, "
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
