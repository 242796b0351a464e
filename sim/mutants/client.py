"""Mutants of the client session."""

from sim.mutants import Edit, Mutant

AUTHENTICATION = "chat.client.session.authentication"
CONNECTION = "chat.client.session.connection"
CURSORS = "chat.client.session.cursors"
OUTBOX = "chat.client.session.outbox"
READ_MARKS = "chat.client.session.read_marks"
ROSTER = "chat.client.session.roster"

MUTANTS = (
    Mutant(
        "new-key-on-retry",
        "a send that is repeated after a reconnect gets another key",
        (
            Edit(
                OUTBOX,
                "        for item in self.items.values():\n            item.in_flight = False\n",
                "        for item in list(self.items.values()):\n"
                "            if item.in_flight:\n"
                "                del self.items[item.key]\n"
                '                item.key += "+"\n'
                "                self.items[item.key] = item\n"
                "            item.in_flight = False\n",
            ),
        ),
    ),
    Mutant(
        "lost-reply-taken-for-failure",
        "sends without an answer when the connection broke are reported as failed",
        (
            Edit(
                OUTBOX,
                "        for item in self.items.values():\n            item.in_flight = False\n",
                "        for item in list(self.items.values()):\n"
                "            if item.in_flight and self.settle(item):\n"
                "                code = ErrorCode.UNAVAILABLE\n"
                "                self._tell(SendFailed(item.ref, item.key, "
                'item.text, code, ""))\n'
                "        for item in self.items.values():\n            item.in_flight = False\n",
            ),
        ),
    ),
    Mutant(
        "settled-when-written",
        "a send counts as sent once the connection has taken it",
        (
            Edit(
                OUTBOX,
                "            item.in_flight = False\n            item.retry_at_ms = 0\n",
                "            item.retry_at_ms = 0\n",
            ),
        ),
    ),
    Mutant(
        "cursor-goes-back",
        "after a reconnect the cursor is the read mark of the node",
        (
            Edit(
                CURSORS,
                "cursor = max(self._cursors.get(conversation, start), at_least)",
                "cursor = max(start, at_least)",
            ),
        ),
    ),
    Mutant(
        "repeat-applied",
        "an entry that was applied before is applied again",
        (
            Edit(
                CURSORS,
                "        if seq == cursor + 1:\n            return Position.NEXT\n",
                "        if seq == cursor + 1 or seq == cursor:\n"
                "            self._cursors[conversation] = seq - 1\n"
                "            return Position.NEXT\n",
            ),
        ),
    ),
    Mutant(
        "cursors-not-named",
        "a device that resumes does not name its cursors",
        (
            Edit(
                AUTHENTICATION,
                "return ResumeRequest(id=0, token=self._token, cursors=cursors)",
                "return ResumeRequest(id=0, token=self._token, cursors={})",
            ),
        ),
    ),
    Mutant(
        "later-overtakes",
        "a send that has to wait lets later ones to the same recipient go first",
        (
            Edit(
                OUTBOX,
                "            item.retry_at_ms = until_ms\n            if everything:\n",
                "            item.retry_at_ms = until_ms\n"
                "            self._queues[item.target].rotate(-1)\n"
                "            if everything:\n",
            ),
        ),
    ),
    Mutant(
        "silence-not-noticed",
        "a connection that has gone silent is taken for live",
        (
            Edit(
                CONNECTION,
                "                return self._heard_at_ms + self._ping_ms\n",
                "                return None\n",
            ),
        ),
    ),
    Mutant(
        "no-second-attempt",
        "a connection that failed twice in a row is not tried again",
        (
            Edit(
                CONNECTION,
                "        if phase is Phase.WAITING:\n            return self._dial_at_ms\n",
                "        if phase is Phase.WAITING and self._losses < 3:\n"
                "            return self._dial_at_ms\n",
            ),
        ),
    ),
    Mutant(
        "mark-lost",
        "a read mark without an answer when the connection broke blocks all later ones",
        (
            Edit(
                READ_MARKS,
                "        for mark in self._marks.values():\n            mark.in_flight = 0\n",
                "        pass\n",
            ),
        ),
    ),
    Mutant(
        "friend-not-removed",
        "friendships that ended while the device was away stay on it",
        (
            Edit(
                ROSTER,
                "                notices += "
                "self.remove_friend(User(id=friend.id, name=friend.name))\n",
                "                friends[friend.id] = friend\n",
            ),
        ),
    ),
    Mutant(
        "presence-ignored",
        "the client ignores the presence of friends",
        (
            Edit(
                ROSTER,
                "        if friend is None or friend.state is state:\n",
                "        if True:\n",
            ),
        ),
    ),
)
