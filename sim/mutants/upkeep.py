"""Mutants of anti-entropy, timers and admission."""

from sim.mutants import Edit, Mutant

ADMISSION = "chat.core.upkeep.admission"
ANTI_ENTROPY = "chat.core.upkeep.anti_entropy"
NODE = "chat.core.node"
TIMERS = "chat.core.upkeep.timers"

_TIMERS = (
    Mutant(
        "no-anti-entropy",
        "heads and versions are compared only while the bus is down",
        (
            Edit(
                ANTI_ENTROPY,
                "            self._compare(*self._part)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "anti-entropy-without-heads",
        "anti-entropy compares rosters and not logs",
        (
            Edit(
                ANTI_ENTROPY,
                "            self._catch_up.learn(id, head)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "no-compare-after-bus-up",
        "nothing is compared when the bus is back, so what was published meanwhile is missed",
        (Edit(NODE, "        self._anti_entropy.compare_all()\n", ""),),
    ),
    Mutant(
        "no-compare-while-bus-down",
        "a node without a bus does not compare more often",
        (
            Edit(
                ANTI_ENTROPY,
                "            self.compare_all()\n            return\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "anti-entropy-without-versions",
        "anti-entropy compares logs and not rosters",
        (
            Edit(
                "chat.core.upkeep.anti_entropy",
                "            self._roster_sync.heard(id, version)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "presence-without-anti-entropy",
        "the states of friends are asked for at login and never again",
        (
            Edit(
                "chat.core.upkeep.anti_entropy",
                "            if self._subscriptions.up:\n"
                "                self._presence.compare([here[id] for id in "
                "asked if id in here])\n",
                "",
            ),
        ),
    ),
    Mutant(
        "dead-timeout-never",
        "a connection whose peer is silent is never closed",
        (
            Edit(
                TIMERS,
                "            due.append((session.heard_at_ms + config.dead_ms, "
                "Input.DEAD_TIMEOUT))\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "login-timeout-never",
        "a connection may stay without a login for ever",
        (
            Edit(
                TIMERS,
                "            due.append((session.since_ms + config.login_ms, "
                "Input.LOGIN_TIMEOUT))\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "stall-timeout-never",
        "a connection whose peer takes no bytes is never closed",
        (
            Edit(
                TIMERS,
                "        if session.full:\n            due.append",
                "        if False:\n            due.append",
            ),
        ),
    ),
    Mutant(
        "no-compare-when-attached",
        "the heads of conversations that a node begins to follow are not compared",
        (
            Edit(
                NODE,
                "        self._catch_up.compare_heads()\n",
                "        self._catch_up._to_compare = []\n",
            ),
        ),
    ),
)

_ADMISSION = (
    Mutant(
        "not-logged-in-counted-for-good",
        "a connection that is closed counts as not logged in for ever",
        (
            Edit(
                ADMISSION,
                "        session.admitted = False\n        self.authenticated(session)\n",
                "        session.admitted = False\n",
            ),
        ),
    ),
    Mutant(
        "address-counted-for-good",
        "a connection counts for its address after it is closed",
        (Edit(ADMISSION, "        address.connections -= 1\n", ""),),
    ),
    Mutant(
        "one-more-not-logged-in",
        "an address may have one connection that is not logged in more than the limit",
        (
            Edit(
                ADMISSION,
                "            len(address.unauthenticated) > config",
                "            len(address.unauthenticated) > 1 + config",
            ),
        ),
    ),
    Mutant(
        "one-more-of-an-address",
        "an address may have one connection more than the limit",
        (
            Edit(
                ADMISSION,
                "            or address.connections > self._per_address\n",
                "            or address.connections > 1 + self._per_address\n",
            ),
        ),
    ),
    Mutant(
        "one-more-of-a-user",
        "a user may have one connection more than the limit",
        (
            Edit(
                ADMISSION,
                "        elif len(others) >= self._per_user:\n",
                "        elif len(others) > self._per_user:\n",
            ),
        ),
    ),
    Mutant(
        "one-more-of-a-device",
        "a device may have one connection more than the limit",
        (
            Edit(
                ADMISSION,
                "        if len(of_device) >= config.connections_per_device:\n",
                "        if len(of_device) > config.connections_per_device:\n",
            ),
        ),
    ),
    Mutant(
        "one-more-of-a-node",
        "a node may have one connection more than the limit",
        (
            Edit(
                ADMISSION,
                "        return len(self._context.sessions) > self._context.config.connections\n",
                "        return len(self._context.sessions) > "
                "1 + self._context.config.connections\n",
            ),
        ),
    ),
    Mutant(
        "no-places-kept",
        "connections that are logged in may have all places of a node",
        (
            Edit(
                ADMISSION,
                "        self._places = config.connections - config.connections // 4\n",
                "        self._places = config.connections\n",
            ),
        ),
    ),
    Mutant(
        "last-place-never-taken",
        "a login is refused, though the node has one more place",
        (
            Edit(
                ADMISSION,
                "        if self._logged_in < self._places:\n",
                "        if self._logged_in < self._places - 1:\n",
            ),
        ),
    ),
    Mutant(
        "user-with-fewest-replaced",
        "in a full node the user with the fewest connections makes room",
        (
            Edit(
                ADMISSION,
                "        return max(users, key=lambda user: "
                "len(user.sessions) - (user is new), default=None)\n",
                "        return min(users, key=lambda user: "
                "len(user.sessions) - (user is new) or 99, default=None)\n",
            ),
        ),
    ),
    Mutant(
        "one-fewer-of-a-user",
        "a connection of a user is replaced before the limit is reached",
        (
            Edit(
                ADMISSION,
                "        elif len(others) >= self._per_user:\n",
                "        elif len(others) >= self._per_user - 1:\n",
            ),
        ),
    ),
    Mutant(
        "newest-replaced",
        "the connection that was heard last makes room for a newer one",
        (
            Edit(
                ADMISSION,
                "        silent_longest = min(sessions, key=lambda one: one.heard_at_ms)\n",
                "        silent_longest = max(sessions, key=lambda one: one.heard_at_ms)\n",
            ),
        ),
    ),
    Mutant(
        "no-grace",
        "a connection makes room for a new one before it has had time to log in",
        (
            Edit(
                ADMISSION,
                "    return session.state is State.ANONYMOUS and "
                "now_ms - session.since_ms >= GRACE_MS\n",
                "    return session.state is State.ANONYMOUS\n",
            ),
        ),
    ),
    Mutant(
        "no-room-made",
        "a new connection is refused, though there are some that only stand there",
        (
            Edit(
                ADMISSION,
                "    return session.state is State.ANONYMOUS and "
                "now_ms - session.since_ms >= GRACE_MS\n",
                "    return False\n",
            ),
        ),
    ),
)

MUTANTS = (*_TIMERS, *_ADMISSION)
