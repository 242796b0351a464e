"""Mutants of delivery: fan-out, catch-up, streams, flow control, subscriptions."""

from sim.mutants import Edit, Mutant

CONVERSATION = "chat.core.state.conversation"
CATCH_UP = "chat.core.delivery.catch_up"
FAN_OUT = "chat.core.delivery.fan_out"
FLOW_CONTROL = "chat.core.delivery.flow_control"
GROUPS = "chat.core.requests.groups"
MESSAGING = "chat.core.requests.messaging"
STREAMS = "chat.core.delivery.device_streams"

MUTANTS = (
    Mutant(
        "sent-twice",
        "a send whose `sent` stood in its place in the stream is answered once more",
        (
            Edit(
                FAN_OUT,
                "if session is not None and not placed:",
                "if session is not None:",
            ),
        ),
    ),
    Mutant(
        "sent-out-of-place",
        "`sent` does not wait for its place in the stream",
        (
            Edit(
                FAN_OUT,
                "if position is not None and position < seq - 1:",
                "if False and position is not None:",
            ),
        ),
    ),
    Mutant(
        "not-to-own-devices",
        "a text to a friend is published to the friend only, not to the sender's other devices",
        (
            Edit(
                MESSAGING,
                "channels = (user_channel(append.sender), user_channel(outcome.recipient))",
                "channels = (user_channel(outcome.recipient),)",
            ),
        ),
    ),
    Mutant(
        "membership-unpublished",
        "entries that record joining and leaving are not published",
        (
            Edit(
                GROUPS,
                "self._context.publish(channels, EntryBusMessage(entry))",
                "pass",
            ),
        ),
    ),
    Mutant(
        "gap-ignored",
        "an entry beyond the next one only raises the head, and no connection is behind for it",
        (
            Edit(
                CONVERSATION,
                "            if self.live:\n"
                "                self.behind.update(dict.fromkeys(self.live, self.head))\n"
                "                self._cohorts.setdefault(self.head, {}).update(self.live)\n"
                "                self._wanted.add(self.head)\n"
                "            self.live.clear()\n",
                "",
            ),
        ),
    ),
    Mutant(
        "repeat-delivered",
        "a bus message with the entry that was delivered last is delivered again",
        (
            Edit(
                FAN_OUT,
                "            self._deliver(conversation, entry)\n",
                "            self._deliver(conversation, entry)\n"
                "            conversation.head -= 1\n"
                "            self._deliver(conversation, entry)\n",
            ),
        ),
    ),
    Mutant(
        "old-bus-message-delivered",
        "a bus message that comes again, or late, is not ignored",
        (
            Edit(
                FAN_OUT,
                "if conversation is None or entry.seq <= conversation.head:",
                "if conversation is not None and entry.seq <= conversation.head:\n"
                "            frame = encode_entry(entry, own=False)\n"
                "            for connection in conversation.live:\n"
                "                self._context.effects.append(Deliver((connection,), frame))\n"
                "        if conversation is None or entry.seq <= conversation.head:",
            ),
        ),
    ),
    Mutant(
        "page-for-other-cursors",
        "a page of the log is delivered to all connections behind, whatever their cursor",
        (
            Edit(
                CONVERSATION,
                "        return list(self._cohorts.get(cursor, ()))\n",
                "        return [c for c, at in self.behind.items()"
                " if at >= cursor and c not in self._held]\n",
            ),
            Edit(
                CONVERSATION,
                "        assert self.behind[connection] <= cursor <= self.head\n",
                "        cursor = min(cursor, self.head)\n",
            ),
        ),
    ),
    Mutant(
        "read-once",
        "the log is read after a cursor once, and never again for later connections at that cursor",
        (Edit(CONVERSATION, "        self._reading.discard(cursor)\n", ""),),
    ),
    Mutant(
        "slow-reader-not-held",
        "a connection whose buffer is full gets further entries",
        (Edit(FLOW_CONTROL, "        self._catch_up.hold(session)\n", ""),),
    ),
    Mutant(
        "stopped-for-good",
        "a stream that stopped before an entry of its own does not go on after the answer",
        (
            Edit(
                MESSAGING,
                "            self._catch_up.resume_stopped(session)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "channel-left-too-early",
        "a group's channel is left with the first of several conversations that need it",
        (
            Edit(
                "chat.core.delivery.subscriptions",
                "        if channel.needs == 0:\n",
                '        if channel.needs == 1 and name.startswith("u:"):\n'
                "            self._context.effects.append(Unsubscribe(name))\n"
                "        if channel.needs == 0:\n",
            ),
        ),
    ),
    Mutant(
        "key-for-all-members",
        "the key of an entry is shown to all connections that get it live",
        (
            Edit(
                FAN_OUT,
                "context.effects.append(Deliver(audience, encode_entry(entry, own=False)))",
                "context.effects.append(Deliver(audience, encode_entry(entry, own=True)))",
            ),
        ),
    ),
    Mutant(
        "kept-after-leaving",
        "a user who has left a group goes on getting its entries",
        (
            Edit(
                STREAMS,
                "        self._context.send(session.connection, "
                "GroupDeletedPush(group=conversation.id))\n"
                "        self.detach(session, conversation.id)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "entry-of-former-member",
        "an entry whose sender has left meanwhile is not delivered",
        (
            Edit(
                MESSAGING,
                "        if isinstance(outcome, Appended):\n            conversation, seq =",
                "        if isinstance(outcome, Appended) and not answerable:\n"
                "            pass\n"
                "        elif isinstance(outcome, Appended):\n            conversation, seq =",
            ),
        ),
    ),
    Mutant(
        "slow-reader-never-resumes",
        "a connection whose buffer was full gets no entries after it has drained",
        (Edit(FLOW_CONTROL, "        self._catch_up.release(session)\n", ""),),
    ),
    Mutant(
        "failed-page-forgotten",
        "a page of the log that could not be read is not asked for again",
        (
            Edit(
                CATCH_UP,
                "                self._failed[conversation.id] = None\n",
                "                pass\n",
            ),
        ),
    ),
    Mutant(
        "page-count-leaks",
        "a page that could not be read counts as in flight for ever",
        (
            Edit(
                CATCH_UP,
                "        self._pages_in_flight -= 1\n        conversation",
                "        self._pages_in_flight -= isinstance(outcome, LogRead)\n"
                "        conversation",
            ),
        ),
    ),
    Mutant(
        "page-without-followers-leaks",
        "a page of a log without followers counts as in flight for ever",
        (
            Edit(
                CATCH_UP,
                "        self._pages_in_flight -= 1\n",
                "        self._pages_in_flight -= id in self._streams.conversations\n",
            ),
        ),
    ),
)
