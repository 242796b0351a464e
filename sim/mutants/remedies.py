"""Mutants of what makes good: reading again, comparing, going on, telling late, letting go."""

from sim.mutants import Edit, Mutant

APPENDS = "chat.storage.append.batch"
DELIVERY = "chat.core.delivery.fan_out"
INTAKE = "chat.core.requests.scheduler"
NODE = "chat.core.node"
PEOPLE = "chat.core.roster.roster_sync"
REQUESTS = "chat.core.requests.requests"

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
        "reading-never-resumed",
        "who was not read from while the buffer was full is never read from again",
        (
            Edit(
                INTAKE,
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
                INTAKE,
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
                INTAKE,
                "                if not session.under_way:\n"
                "                    self._context.close(session, Input.DRAINED)\n",
                "                self._context.close(session, Input.DRAINED)\n",
            ),
        ),
    ),
)
