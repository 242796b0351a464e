"""Mutants of what makes good: reading again, comparing, going on, telling late, letting go."""

from sim.mutants import Edit, Mutant

APPENDS = "chat.storage.appends"
DELIVERY = "chat.core.delivery"
NODE = "chat.core.node"
PEOPLE = "chat.core.people"
PRESENCE = "chat.core.presence"
REQUESTS = "chat.core.requests"
WATCH = "chat.core.watch"

MUTANTS = (
    Mutant(
        "refused-though-stored",
        "who may not write any more is refused, though what is sent again was stored before",
        (
            Edit(
                APPENDS,
                "        if first is None and refusal is not None and hopeful:\n"
                "            stored |= _find_keys(connection, [append])\n"
                "            first = stored.get(identity)\n",
                "        if refusal is not None:\n            first = None\n",
            ),
        ),
    ),
    Mutant(
        "refused-though-in-the-log",
        "a send is refused, though its entry went to everyone, as its sender has left meanwhile",
        (
            Edit(
                REQUESTS,
                "            self._delivery.appended(session, entry, sent)\n",
                "            away = session and conversation not in session.conversations\n"
                "            if session is not None and away:\n"
                "                self._context.refuse(\n"
                "                    session, record.re, Refused(ErrorCode.FORBIDDEN)\n"
                "                )\n"
                "                session = None\n"
                "            self._delivery.appended(session, entry, sent)\n",
            ),
        ),
    ),
    Mutant(
        "failed-page-forgotten",
        "a page of the log that could not be read is not asked for again",
        (
            Edit(
                DELIVERY,
                "            elif cohort:\n                self._failed[conversation.id] = None\n",
                "",
            ),
        ),
    ),
    Mutant(
        "page-count-leaks",
        "a page of the log that could not be read counts as under way for ever",
        (
            Edit(
                DELIVERY,
                "        self._pages_in_flight -= 1\n",
                "        self._pages_in_flight -= isinstance(outcome, LogRead)\n",
            ),
        ),
    ),
    Mutant(
        "page-of-the-gone-leaks",
        "a page of a log that nobody here follows any more counts as under way for ever",
        (
            Edit(
                DELIVERY,
                "        self._pages_in_flight -= 1\n",
                "        self._pages_in_flight -= record.conversation in self.conversations\n",
            ),
        ),
    ),
    Mutant(
        "no-compare-at-the-door",
        "the heads of conversations that a node begins to follow are not compared",
        (
            Edit(
                NODE,
                "            self._delivery.compare_heads()\n",
                "            self._delivery.compare = []\n",
            ),
        ),
    ),
    Mutant(
        "roster-news-while-reading",
        "news of a roster that come while it is read are forgotten when it was read",
        (
            Edit(
                PEOPLE,
                "            if outcome.roster.version < user.heard_version:\n"
                "                self.news(user.id, user.heard_version)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "old-roster-taken",
        "a roster that was read before a newer one, and comes after it, is taken",
        (
            Edit(
                PEOPLE,
                "        if roster.version < user.roster.version:\n            return\n",
                "",
            ),
        ),
    ),
    Mutant(
        "offline-untold",
        "friends are not told when somebody goes offline",
        (
            Edit(
                PRESENCE,
                "            self._publish(record.user, record.friends, PresenceState.OFFLINE)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "return-forgotten",
        "who is back before the directory has answered is told to have left all the same",
        (
            Edit(
                PRESENCE,
                "        if not elsewhere and (back is None or not back.sessions):\n",
                "        if not elsewhere:\n",
            ),
        ),
    ),
    Mutant(
        "stall-timeout-never",
        "a peer that does not read keeps its full buffer for ever",
        (
            Edit(
                WATCH,
                "            due.append((session.progress_at_ms + config.stall_ms, "
                "Input.STALL_TIMEOUT))\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "reading-never-resumed",
        "who was not read from while the buffer was full is never read from again",
        (
            Edit(
                NODE,
                "        if pause != session.reading_paused:\n",
                "        if pause and not session.reading_paused:\n",
            ),
        ),
    ),
    Mutant(
        "drain-cuts-off",
        "a node that drains cuts connections off with what was not read yet",
        (
            Edit(
                NODE,
                "                    self._context.close(session, Input.DRAINED)\n",
                "                    self._context.close(session, Input.DRAINED, abort=True)\n",
            ),
        ),
    ),
    Mutant(
        "drain-does-not-wait",
        "a node that drains ends connections whose requests it has not answered yet",
        (
            Edit(
                NODE,
                "                if not session.under_way:\n"
                "                    self._context.close(session, Input.DRAINED)\n",
                "                self._context.close(session, Input.DRAINED)\n",
            ),
        ),
    ),
)
