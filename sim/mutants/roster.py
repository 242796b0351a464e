"""Mutants of roster sync, presence and receipts."""

from sim.mutants import Edit, Mutant

PRESENCE = "chat.core.roster.presence"
RECEIPTS = "chat.core.roster.receipts"
ROSTER_SYNC = "chat.core.roster.roster_sync"
USER = "chat.core.state.user"
_IS_NEXT = "change.version == user.version + 1"
_ASSERT_NEXT = "        assert change.version == self.version + 1\n"

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
                "            self._context.publish("
                "(user_channel(change.user),), RosterBusMessage(change))\n",
                "",
            ),
        ),
    ),
    Mutant(
        "friend-stays-attached",
        "a friendship that ended is not taken from the devices",
        (Edit(ROSTER_SYNC, "        self._context.push(user, removed)\n", ""),),
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
                "        if roster.version < user.version:\n"
                "            user.learn_heads(roster)\n"
                "            return\n",
                "",
            ),
        ),
    ),
    Mutant(
        "change-over-gap",
        "a change of a roster is applied though the one before it was missed",
        (
            Edit(ROSTER_SYNC, _IS_NEXT, "change.version > user.version"),
            Edit(USER, _ASSERT_NEXT, ""),
        ),
    ),
    Mutant(
        "old-change-taken",
        "a change of a roster that comes again, or after a later one, is applied",
        (
            Edit(ROSTER_SYNC, _IS_NEXT, "change.version <= user.version + 1"),
            Edit(USER, _ASSERT_NEXT, ""),
            Edit(
                USER,
                "        self.version = change.version\n",
                "        self.version = max(self.version, change.version)\n",
            ),
        ),
    ),
    Mutant(
        "ended-friendship-untold",
        "the change of a roster that ends a friendship is applied, and devices are not told",
        (
            Edit(
                ROSTER_SYNC,
                "        if friend is not None:\n"
                "            self._tell_end_of_friendship(user, friend)\n",
                "",
            ),
        ),
    ),
)
