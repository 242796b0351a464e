"""Mutants of anti-entropy and timers."""

from sim.mutants import Edit, Mutant

ANTI_ENTROPY = "chat.core.upkeep.anti_entropy"
NODE = "chat.core.node"
TIMERS = "chat.core.upkeep.timers"

MUTANTS = (
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
