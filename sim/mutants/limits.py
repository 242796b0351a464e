"""Mutants of limits: budgets, pacing, queues of operations."""

from sim.mutants import Edit, Mutant

ADMISSION = "chat.core.upkeep.admission"
AUTHENTICATION = "chat.core.requests.authentication"
BUDGETS = "chat.core.state.budgets"
CONTEXT = "chat.core.state.context"
FAIR_QUEUE = "chat.core.state.fair_queue"
LIMITER = "chat.core.state.rate_limiter"
QUEUES = "chat.core.state.operation_queues"
SCHEDULER = "chat.core.requests.scheduler"

_BUDGETS = (
    Mutant(
        "no-rate-limit",
        "there is no rate limit",
        (
            Edit(
                LIMITER,
                "        elif full_at_ms - now_ms > (self._slack_ms if cost == 1 else "
                "self._slack(cost)):\n            return False\n",
                "",
            ),
            Edit(
                LIMITER,
                "return self._full_at_ms.get(key, 0.0) - now_ms <= slack_ms",
                "return True",
            ),
        ),
    ),
    Mutant(
        "pauses-saved-up",
        "a user who has not sent for a while may send all that at once",
        (
            Edit(
                LIMITER,
                "        if full_at_ms < now_ms:\n            full_at_ms = now_ms\n        elif",
                "        if not full_at_ms:\n            full_at_ms = now_ms\n        if",
            ),
        ),
    ),
    Mutant(
        "cost-never-charged",
        "requests are taken whatever they cost",
        (
            Edit(
                SCHEDULER,
                "            if cost and self._over_budget(session, cost):\n",
                "            if False:\n",
            ),
        ),
    ),
    Mutant(
        "cost-is-one",
        "every request costs 1",
        (
            Edit(
                SCHEDULER,
                "self._budget.take(user.id, self._context.now_ms, cost)",
                "self._budget.take(user.id, self._context.now_ms)",
            ),
        ),
    ),
    Mutant(
        "login-costs-nothing",
        "a login is not charged to the user who logs in",
        (
            Edit(
                AUTHENTICATION,
                "            self._take_place(account.user.id, COST[LoginRequest])\n",
                "            self._take_place(account.user.id, 0)\n",
            ),
        ),
    ),
    Mutant(
        "resume-charged-twice",
        "a resume takes twice its cost",
        (
            Edit(
                AUTHENTICATION,
                "            self._take_place(device.user, COST[ResumeRequest])\n",
                "            self._take_place(device.user, 2 * COST[ResumeRequest])\n",
            ),
        ),
    ),
    Mutant(
        "refused-within-the-budget",
        "the last permit of a bucket is never given",
        (
            Edit(
                LIMITER,
                "        self._slack_ms = (burst - 1) * self._permit_ms\n",
                "        self._slack_ms = (burst - 2) * self._permit_ms\n",
            ),
        ),
    ),
    Mutant(
        "one-more-than-the-burst",
        "a bucket gives one permit more than its burst",
        (
            Edit(
                LIMITER,
                "        return (self._burst - min(cost, self._burst)) * self._permit_ms\n",
                "        return (self._burst + 1 - min(cost, self._burst)) * self._permit_ms\n",
            ),
        ),
    ),
    Mutant(
        "rows-never-charged",
        "a reply costs the same, however many rows it has",
        (Edit(BUDGETS, "        if cost:\n", "        if False:\n"),),
    ),
    Mutant(
        "wait-too-short",
        "a refusal tells a wait after which only one permit is there",
        (
            Edit(
                LIMITER,
                "self._full_at_ms.get(key, 0.0) - now_ms - self._slack(cost)))",
                "self._full_at_ms.get(key, 0.0) - now_ms - self._slack(1)))",
            ),
        ),
    ),
    Mutant(
        "wait-too-long",
        "a refusal tells the wait until the bucket is full",
        (
            Edit(
                LIMITER,
                "self._full_at_ms.get(key, 0.0) - now_ms - self._slack(cost)))",
                "self._full_at_ms.get(key, 0.0) - now_ms))",
            ),
        ),
    ),
    Mutant(
        "registrations-unlimited",
        "an address may register as many accounts as it likes",
        (
            Edit(
                AUTHENTICATION,
                "            self._take(self._context.budgets.registrations, "
                "call.session.address)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "wrong-tokens-not-counted",
        "resumes with a wrong token are not counted",
        (
            Edit(
                AUTHENTICATION,
                "                budgets.failed_resumes.charge(session.address, call.now_ms, 1)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "right-guess-told",
        "a password is told to be right, though too many guesses have failed meanwhile",
        (
            Edit(
                AUTHENTICATION,
                "                budgets.failed_logins.take(attempt, call.now_ms)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "address-of-128-bits",
        "every address of IPv6 is an address of its own",
        (
            Edit(
                ADMISSION,
                '    return str(ipaddress.IPv6Address(int(address) >> 64 << 64)) + "/64"\n',
                "    return str(address)\n",
            ),
        ),
    ),
    Mutant(
        "mapped-address-is-another",
        "an address of IPv4 that is mapped into IPv6 is counted as one of IPv6",
        (
            Edit(
                ADMISSION,
                "    if address.ipv4_mapped is not None:\n",
                "    if False:\n",
            ),
        ),
    ),
)

_PACING = (
    Mutant(
        "never-paced",
        "lines are taken however fast they come",
        (
            Edit(
                SCHEDULER,
                "                    if full_at_ms - now_ms > self._burst_ms:\n",
                "                    if False:\n",
            ),
        ),
    ),
    Mutant(
        "paced-within-the-budget",
        "a connection is paced one line too early",
        (
            Edit(
                SCHEDULER,
                "        self._burst_ms = config.line_burst * self._line_ms\n",
                "        self._burst_ms = (config.line_burst - 1) * self._line_ms\n",
            ),
        ),
    ),
    Mutant(
        "long-lines-for-one",
        "a long line counts as one line",
        (
            Edit(
                SCHEDULER,
                "                self._spend(session, size // LINE_BYTES)\n",
                "                pass\n",
            ),
        ),
    ),
    Mutant(
        "errors-cost-nothing",
        "an error costs a connection no more than another reply",
        (
            Edit(
                CONTEXT,
                "            self.spend_lines(session, ERROR_LINES)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "paced-for-good",
        "a paced connection is never woken",
        (
            Edit(
                SCHEDULER,
                "            self._context.deadlines.set("
                "ceil(session.lines_full_at_ms - self._burst_ms), end)\n",
                "",
            ),
        ),
    ),
)

_QUEUES = (
    Mutant(
        "first-in-first-out",
        "all payers wait in one queue",
        (
            Edit(
                QUEUES,
                "    if session is None:\n        return 0\n"
                "    return session.address if session.user is None else session.user.id\n",
                "    return 0\n",
            ),
        ),
    ),
    Mutant(
        "payer-keeps-its-turn",
        "a payer is served until nothing of it waits",
        (
            Edit(
                FAIR_QUEUE,
                "            self.turns[payer] = queue\n        return item\n",
                "            self.turns[payer] = queue\n"
                "            self.turns.move_to_end(payer, last=False)\n"
                "        return item\n",
            ),
        ),
    ),
    Mutant(
        "refused-answer-not-counted",
        "an operation that was refused counts as under way for ever",
        (
            Edit(
                CONTEXT,
                "            queue.room += 1\n",
                "            queue.room += not isinstance(outcome, Refused)\n",
            ),
        ),
    ),
    Mutant(
        "one-more-under-way",
        "one operation more than the limit is handed out",
        (
            Edit(
                QUEUES,
                "        if self.waiting.turns and self.under_way < self._limit:\n",
                "        if self.waiting.turns and self.under_way <= self._limit:\n",
            ),
        ),
    ),
    Mutant(
        "next-not-handed-out",
        "the answer to an operation does not let the next one go",
        (
            Edit(
                CONTEXT,
                "            if queue.room < 1:\n                self._hand_out(queue)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "passwords-unlimited",
        "an address may have as many passwords checked as it likes",
        (
            Edit(
                QUEUES,
                "            if self._limiter.take(payer, now_ms):\n",
                "            if True:\n",
            ),
        ),
    ),
    Mutant(
        "password-never-due",
        "a password that waits for its address's budget has no deadline",
        (
            Edit(
                CONTEXT,
                "            self.deadlines.set(queue.not_before_ms, "
                "partial(self._hand_out, queue))\n",
                "",
            ),
        ),
    ),
    Mutant(
        "password-waits-for-others",
        "a password within its address's budget waits for those that are over theirs",
        (
            Edit(
                QUEUES,
                "        self.not_before_ms = min(self.not_before_ms, now_ms + wait_ms)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "password-of-a-closed-connection",
        "the password of a connection that is closed is checked all the same",
        (
            Edit(
                CONTEXT,
                "        waiting = self.queues.passwords.withdraw(session)\n",
                "        waiting = None\n",
            ),
        ),
    ),
)

MUTANTS = (*_BUDGETS, *_PACING, *_QUEUES)
