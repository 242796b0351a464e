"""Mutants of roster sync, presence and receipts."""

from sim.mutants import Edit, Mutant

PRESENCE = "chat.core.roster.presence"
RECEIPTS = "chat.core.roster.receipts"
ROSTER_SYNC = "chat.core.roster.roster_sync"

MUTANTS = (
    Mutant(
        "cursor-not-taken",
        "a device that resumes is served from the read mark, not from the cursor it named",
        (
            Edit(
                ROSTER_SYNC,
                "start = min(cursors.get(friend.conversation, start), friend.seq)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "roster-news-unpublished",
        "a change of a roster is not published",
        (
            Edit(
                ROSTER_SYNC,
                "            self._context.publish((user_channel(one.user),), message)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "friend-stays-attached",
        "a friendship that ended is not taken from the devices",
        (Edit(ROSTER_SYNC, "                self._context.push(user, removed)\n", ""),),
    ),
    Mutant(
        "receipt-unpublished",
        "a read mark is told on its own node only",
        (
            Edit(
                RECEIPTS,
                "            self._context.publish((user_channel(told),), message)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "receipt-not-to-friend",
        "a read mark is told to the reader's own devices only",
        (
            Edit(
                RECEIPTS,
                "for told in (user_id,) if marked.other is None else (user_id, marked.other):",
                "for told in (user_id,):",
            ),
        ),
    ),
    Mutant(
        "offline-while-elsewhere",
        "friends are told that a user is offline, though another node has the user",
        (
            Edit(
                PRESENCE,
                "        elsewhere = isinstance(outcome, PresenceFound) and "
                "user_id in outcome.online\n",
                "        elsewhere = False\n",
            ),
        ),
    ),
    Mutant(
        "online-unpublished",
        "friends are not told that a user is online",
        (
            Edit(
                PRESENCE,
                "        self._publish(user.id, user.friends, PresenceState.ONLINE)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "presence-lease-never-expires",
        "the presence directory keeps the users of a node that died (in the model of it)",
        (Edit("sim.cluster.bus", "if until_ms > now_ms)", "if until_ms)"),),
    ),
    Mutant(
        "offline-user-kept",
        "a user without sessions is never forgotten",
        (Edit(PRESENCE, "        del self._context.users[user_id]\n", ""),),
    ),
    Mutant(
        "offline-unpublished",
        "friends are not told that a user is offline; only anti-entropy finds it",
        (
            Edit(
                PRESENCE,
                "            self._publish(user_id, friends, PresenceState.OFFLINE)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "roster-news-while-reading",
        "news of a roster that come while it is read are forgotten afterwards",
        (
            Edit(
                ROSTER_SYNC,
                "            if outcome.roster.version < user.heard_version:\n"
                "                self.heard(user.id, user.heard_version)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "old-roster-taken",
        "a roster that was read before a newer one, and comes after it, is taken",
        (
            Edit(
                ROSTER_SYNC,
                "        if roster.version < user.roster.version:\n            return\n",
                "",
            ),
        ),
    ),
)
