"""Mutants of the core's way from a send to every device: answering, publishing, catching up."""

from sim.mutants import Edit, Mutant

DELIVERY = "chat.core.delivery.fan_out"
REQUESTS = "chat.core.requests.requests"
CONVERSATION = "chat.core.state.conversation"
NODE = "chat.core.node"
SWEEP = "chat.core.upkeep.anti_entropy"

_ASK = (
    "        context.query("
    "AppendAsked(session.connection, request.id, user.name, append), append)\n"
)

MUTANTS = (
    Mutant(
        "ack-before-commit",
        "a text to a group is answered by `sent` when the store is asked, not when it has answered",
        (
            Edit(
                REQUESTS,
                _ASK,
                "        guess = self._delivery.conversations.get(group or 0)\n"
                "        asking = session.connection if guess is None else 0\n"
                "        context.query(AppendAsked(asking, request.id, "
                "user.name, append), append)\n"
                "        if guess is not None:\n"
                "            session.sending.discard(request.key)\n"
                "            sent = encode_sent(request.id, guess.id, guess.head + 1, now_ms)\n"
                "            context.reply(session, sent)\n",
            ),
        ),
    ),
    Mutant(
        "publish-before-commit",
        "a text to a group is published when the store is asked, under the number it will have",
        (
            Edit(
                REQUESTS,
                _ASK,
                _ASK + "        guess = self._delivery.conversations.get(group or 0)\n"
                "        if guess is not None:\n"
                "            early = LogEntry(guess.id, guess.head + 1, _TEXT, "
                "user.id, user.name,\n"
                "                request.text, now_ms, request.key)\n"
                "            context.publish((group_channel(guess.id),), EntryBusMessage(early))\n",
            ),
        ),
    ),
    Mutant(
        "sent-twice",
        "a send whose `sent` stood in its place in the stream is answered once more",
        (
            Edit(
                DELIVERY,
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
                DELIVERY,
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
                REQUESTS,
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
                REQUESTS,
                "self._context.publish((group_channel(entry.conversation),), "
                "EntryBusMessage(entry))",
                "pass",
            ),
        ),
    ),
    Mutant(
        "lost-reply-is-failure",
        "a write of which nobody knows whether it was done is answered by an error",
        (
            Edit(
                REQUESTS,
                "            self._context.close(session, Input.ANSWER_UNKNOWN)\n"
                "            return\n",
                "            outcome = Refused(ErrorCode.FORBIDDEN)\n",
            ),
        ),
    ),
    Mutant(
        "gap-ignored",
        "an entry beyond the next one only raises the head, and nobody is behind for it",
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
        "an envelope with the entry that was handed out last is handed out again",
        (
            Edit(
                DELIVERY,
                "        if entry.seq == conversation.head + 1:\n"
                '            self._deliver(conversation, entry, None, b"")',
                "        if entry.seq == conversation.head + 1:\n"
                '            self._deliver(conversation, entry, None, b"")\n'
                "            conversation.head -= 1\n"
                '            self._deliver(conversation, entry, None, b"")',
            ),
        ),
    ),
    Mutant(
        "old-envelope-delivered",
        "an envelope that comes again, or too late, is not passed over",
        (
            Edit(
                DELIVERY,
                "if conversation is None or entry.seq <= conversation.head:",
                "if conversation is not None and entry.seq <= conversation.head:\n"
                "            frame = encode_entry(entry, own=False)\n"
                "            for connection in conversation.live:\n"
                "                self._context.effects.append(Send(connection, frame))\n"
                "        if conversation is None or entry.seq <= conversation.head:",
            ),
        ),
    ),
    Mutant(
        "page-for-those-who-moved-on",
        "a page of the log is handed to all who are behind, wherever they stand by then",
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
        "the log is read after a cursor once, and never again for whoever comes to stand there",
        (Edit(CONVERSATION, "        self._reading.discard(cursor)\n", ""),),
    ),
    Mutant(
        "slow-reader-not-held",
        "a connection whose buffer is full is fed further",
        (Edit(NODE, "            self._delivery.hold(session)\n", ""),),
    ),
    Mutant(
        "stopped-for-good",
        "a stream that stopped before an entry of its own is not set going by the answer",
        (Edit(REQUESTS, "            self._delivery.unstop(session)\n", "            pass\n"),),
    ),
    Mutant(
        "no-sweep",
        "heads and versions are compared only while the bus is down",
        (
            Edit(
                SWEEP,
                "            self._compare(*self._turn)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "sweep-without-heads",
        "the sweep looks at rosters and not at logs",
        (
            Edit(
                SWEEP, "                self._delivery.learn(id, head)\n", "                pass\n"
            ),
        ),
    ),
    Mutant(
        "no-compare-after-bus-up",
        "what was published while the bus was away is not looked for when it is back",
        (Edit(NODE, "        self._sweep.compare_all()\n", ""),),
    ),
    Mutant(
        "no-compare-while-bus-down",
        "a node without a bus does not look more often",
        (
            Edit(
                SWEEP,
                "            self.compare_all()\n            return\n",
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
        "key-for-everyone",
        "the key of an entry is shown to everyone who gets it live",
        (
            Edit(
                DELIVERY,
                "context.effects.append(Deliver(audience, encode_entry(entry, own=False)))",
                "context.effects.append(Deliver(audience, encode_entry(entry, own=True)))",
            ),
        ),
    ),
    Mutant(
        "kept-after-leaving",
        "who has left a group goes on getting what is said there",
        (
            Edit(
                DELIVERY,
                "        self._context.send(session.connection, "
                "GroupDeletedPush(group=conversation.id))\n"
                "        self.detach(session, conversation.id)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "entry-of-the-gone",
        "an entry whose sender has left meanwhile is told to nobody",
        (
            Edit(
                REQUESTS,
                "        if isinstance(outcome, Appended):\n            conversation, seq =",
                "        if isinstance(outcome, Appended) and session is None:\n"
                "            pass\n"
                "        elif isinstance(outcome, Appended):\n            conversation, seq =",
            ),
        ),
    ),
    Mutant(
        "slow-reader-never-resumes",
        "a connection whose buffer was full is not fed again when it has drained",
        (Edit(NODE, "                self._delivery.release(session)\n", ""),),
    ),
    Mutant(
        "subscribe-after-read",
        "the channel of a user is subscribed to after the roster and the heads in it were read",
        (
            Edit(
                "chat.core.requests.authentication",
                "        channel = session.listens_to = user_channel(user)\n"
                "        self._channels.need(channel)\n"
                "        return self._channels.wait(channel, record)\n",
                "        return False\n",
            ),
            Edit(
                "chat.core.requests.authentication",
                "        session.token = record.token\n",
                "        session.token = record.token\n"
                "        session.listens_to = user_channel(user.id)\n"
                "        self._channels.need(session.listens_to)\n",
            ),
        ),
    ),
    Mutant(
        "failed-page-forgotten",
        "a page of the log that could not be read is not asked for again",
        (
            Edit(
                DELIVERY,
                "                self._failed[conversation.id] = None\n",
                "                pass\n",
            ),
        ),
    ),
    Mutant(
        "page-count-leaks",
        "a page that could not be read counts as under way for ever",
        (
            Edit(
                DELIVERY,
                "        self._pages_in_flight -= 1\n        conversation",
                "        self._pages_in_flight -= isinstance(outcome, LogRead)\n"
                "        conversation",
            ),
        ),
    ),
)
