"""Budgets: how much a user and an address may ask for, each limit as the spec has it.

A user has two: one for texts, and one for all other requests, each of which has its cost in the
spec. A reply with many rows costs more, and that is charged when the reply is known. So a user who
pauses may ask for `cost_burst` at once, and `cost_per_second` over time, and never for more, but
for the rows of one reply.

An address has a budget for the accounts that it registers, and for resumes with a wrong token. The
passwords from one address are not refused, but checked later: chat/core/state/operation_queues.py.

What a connection may send is paced by the scheduler, which leaves unread what comes too fast.
"""

from typing import TypeAlias

from chat.core.state.config import NodeConfig
from chat.core.state.rate_limiter import RateLimiter

Attempt: TypeAlias = tuple[str, str]
"""What failed logins are counted by: the account as it was named, and the address."""


class Budgets:
    """The limiters of one node."""

    def __init__(self, config: NodeConfig) -> None:
        self.sends: RateLimiter[int] = RateLimiter(
            per_second=config.sends_per_second, burst=config.send_burst
        )
        """By user: texts."""
        self.requests: RateLimiter[int] = RateLimiter(
            per_second=config.cost_per_second, burst=config.cost_burst
        )
        """By user: the cost of all other requests."""
        self.registrations: RateLimiter[str] = RateLimiter(
            per_second=config.registrations_per_minute / 60, burst=config.registration_burst
        )
        """By address."""
        self.failed_logins: RateLimiter[Attempt] = RateLimiter(
            per_second=config.failed_logins_per_minute / 60, burst=config.failed_logins_per_minute
        )
        self.failed_resumes: RateLimiter[str] = RateLimiter(
            per_second=config.failed_resumes_per_minute / 60, burst=config.failed_resumes_per_minute
        )
        """By address."""
        self._rows_per_cost = config.rows_per_cost

    def charge_rows(self, user_id: int, now_ms: int, rows: int) -> None:
        """The user got a reply with that many rows."""
        cost = rows // self._rows_per_cost
        if cost:
            self.requests.charge(user_id, now_ms, cost)
