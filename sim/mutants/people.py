"""Mutants of the rest of the core: the way in, rosters, presence, receipts, limits, deadlines."""

from sim.mutants import Edit, Mutant

INTAKE = "chat.core.requests.scheduler"
NODE = "chat.core.node"
PEOPLE = "chat.core.roster.roster_sync"
PRESENCE = "chat.core.roster.presence"
ENTRANCE = "chat.core.requests.authentication"
WATCH = "chat.core.upkeep.timers"
FRAMES = "chat.protocol.codec"

MUTANTS = (
    Mutant(
        "cursor-not-taken",
        "who resumes is served from the read mark, whatever cursor was named",
        (
            Edit(
                PEOPLE,
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
                PEOPLE,
                "            self._context.publish((user_channel(one.user),), envelope)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "sweep-without-versions",
        "the sweep looks at logs and not at rosters",
        (
            Edit(
                "chat.core.upkeep.anti_entropy",
                "                self._people.news(id, version)\n",
                "                pass\n",
            ),
        ),
    ),
    Mutant(
        "friend-stays-attached",
        "a friendship that ended is not taken from the devices",
        (Edit(PEOPLE, "                self._context.push(user, gone)\n", ""),),
    ),
    Mutant(
        "receipt-kept-here",
        "a read mark is told on its own node only",
        (
            Edit(
                PEOPLE,
                "            self._context.publish((user_channel(told),), envelope)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "receipt-not-to-friend",
        "a read mark is told to one's own devices only",
        (
            Edit(
                PEOPLE,
                "for told in (user_id,) if other is None else (user_id, other):",
                "for told in (user_id,):",
            ),
        ),
    ),
    Mutant(
        "offline-while-elsewhere",
        "friends are told that a user left a node, though another node has the user",
        (
            Edit(
                PRESENCE,
                "        elsewhere = isinstance(outcome, PresenceFound) and "
                "record.user in outcome.online\n",
                "        elsewhere = False\n",
            ),
        ),
    ),
    Mutant(
        "online-untold",
        "friends are not told that a user came",
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
        "presence-not-swept",
        "the states of friends are asked for at login and never again",
        (
            Edit(
                "chat.core.upkeep.anti_entropy",
                "            if self._channels.up:\n"
                "                self._presence.compare([here[id] for id in "
                "asked if id in here])\n",
                "",
            ),
        ),
    ),
    Mutant(
        "gone-user-kept",
        "a user who has gone is never forgotten",
        (Edit(PRESENCE, "        del self._context.users[user_id]\n", ""),),
    ),
    Mutant(
        "channel-kept",
        "the channel of a user who was turned away or has gone is listened to for ever",
        (
            Edit(
                ENTRANCE,
                "            self._channels.release(session.listens_to)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "still-entering",
        "who breaks off on the way in counts as about to be there for ever",
        (
            Edit(
                ENTRANCE,
                "        if user is not None and not user.sessions:\n"
                "            self._presence.went(user)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "address-counted-for-good",
        "a connection counts as not logged in at its address after it is gone",
        (Edit(NODE, "        self._watch.count_out(session)\n", ""),),
    ),
    Mutant(
        "dead-timeout-never",
        "a connection of which nothing is heard is never given up",
        (
            Edit(
                WATCH,
                "            due.append((session.heard_at_ms + config.dead_ms, "
                "Input.DEAD_TIMEOUT))\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "login-timeout-never",
        "a connection may stay at the door for ever",
        (
            Edit(
                WATCH,
                "            due.append((session.since_ms + config.login_ms, "
                "Input.LOGIN_TIMEOUT))\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "no-rate-limit",
        "everybody may send as fast as they like",
        (
            Edit(
                "chat.core.state.rate_limiter",
                "        elif full_at_ms - now_ms > self._slack_ms:\n            return False\n",
                "",
            ),
            Edit(
                "chat.core.state.rate_limiter",
                "return self._full_at_ms.get(who, 0.0) - now_ms <= self._slack_ms",
                "return True",
            ),
        ),
    ),
    Mutant(
        "pauses-saved-up",
        "who has not sent for a while may send all that at once",
        (
            Edit(
                "chat.core.state.rate_limiter",
                "        if full_at_ms < now_ms:\n            full_at_ms = now_ms\n        elif",
                "        if not full_at_ms:\n            full_at_ms = now_ms\n        if",
            ),
        ),
    ),
    Mutant(
        "frame-cut-wrong",
        "a line that comes in pieces is looked for from the wrong place",
        (Edit(FRAMES, "            self._scanned -= self._start\n", ""),),
    ),
    Mutant(
        "line-limit-misread",
        "a line may be no longer after login than before",
        (
            Edit(
                INTAKE,
                "line = session.frames.take(self._line_bytes[session.state])",
                "line = session.frames.take(256 if session.user else 4_096)",
            ),
        ),
    ),
    Mutant(
        "rests-for-good",
        "who asks for more than a turn has room for never has another turn",
        (
            Edit(
                INTAKE,
                "        if self._resting and not self._armed:\n",
                "        if False:\n",
            ),
        ),
    ),
    Mutant(
        "rests-though-gone",
        "who is gone keeps a place among those who wait for their turn",
        (Edit(NODE, "        self._intake.forget(session)\n", ""),),
    ),
    Mutant(
        "stall-timeout-never",
        "a connection whose peer takes no bytes is never given up",
        (
            Edit(
                WATCH,
                "        if session.full:\n            due.append",
                "        if False:\n            due.append",
            ),
        ),
    ),
    Mutant(
        "offline-untold",
        "nobody is told that a friend has gone; the sweep finds it",
        (
            Edit(
                PRESENCE,
                "            self._publish(record.user, record.friends, PresenceState.OFFLINE)\n",
                "            pass\n",
            ),
        ),
    ),
)
