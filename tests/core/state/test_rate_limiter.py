"""Token buckets."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from chat.core.state.rate_limiter import RateLimiter


@given(st.lists(st.integers(0, 400), max_size=200))
def test_never_more_than_the_burst_and_the_rate(pauses: list[int]) -> None:
    limiter: RateLimiter[str] = RateLimiter(per_second=20, burst=40)
    now_ms = taken = 0
    for pause in pauses:
        now_ms += pause
        if limiter.take("ann", now_ms):
            taken += 1
        assert taken <= 40 + now_ms * 20 / 1000 + 1e-6


@given(st.integers(0, 60), st.integers(0, 3000))
def test_the_wait_it_names_is_enough_and_not_a_step_too_long(takes: int, later_ms: int) -> None:
    limiter: RateLimiter[str] = RateLimiter(per_second=20, burst=40)
    for _ in range(takes):
        limiter.take("ann", 0)
    wait_ms = limiter.wait_ms("ann", later_ms)
    assert limiter.ready("ann", later_ms) == (wait_ms == 0)
    assert limiter.ready("ann", later_ms + wait_ms)
    if wait_ms > 2:
        assert not limiter.ready("ann", later_ms + wait_ms - 2)


@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 50)), max_size=100))
def test_costs_are_taken_as_from_a_bucket_of_tokens(story: list[tuple[int, int]]) -> None:
    """What costs more than the burst is had for the burst."""
    limiter: RateLimiter[str] = RateLimiter(per_second=10, burst=40)
    level, before_ms, now_ms = Fraction(40), 0, 0
    for pause_ms, cost in story:
        now_ms += pause_ms
        level = min(Fraction(40), level + Fraction(now_ms - before_ms, 100))
        before_ms = now_ms
        price = min(cost, 40)
        assert limiter.ready("ann", now_ms, cost) == (level >= price)
        wait_ms = limiter.wait_ms("ann", now_ms, cost)
        assert limiter.ready("ann", now_ms + wait_ms, cost)
        assert not wait_ms or not limiter.ready("ann", now_ms + wait_ms - 1, cost)
        if limiter.take("ann", now_ms, cost):
            level -= price
            assert level >= 0


@given(st.integers(1, 500), st.integers(1, 40), st.integers(0, 60_000))
def test_a_debt_is_paid_back_at_the_rate(charged: int, cost: int, later_ms: int) -> None:
    limiter: RateLimiter[str] = RateLimiter(per_second=10, burst=40)
    limiter.charge("ann", 0, charged)
    level = min(Fraction(40), 40 - charged + Fraction(later_ms, 100))
    assert limiter.take("ann", later_ms, cost) == (level >= cost)


def test_a_charge_of_a_full_bucket_begins_now() -> None:
    limiter: RateLimiter[str] = RateLimiter(per_second=10, burst=40)
    limiter.charge("ann", 0, 10)
    limiter.charge("ann", 1_000_000, 40)
    assert limiter.wait_ms("ann", 1_000_000) == 100


def test_buckets_that_are_only_charged_are_forgotten_when_full() -> None:
    limiter: RateLimiter[int] = RateLimiter(per_second=1000, burst=10)
    for key in range(10_000):
        limiter.charge(key, key, 1)
    assert len(limiter._full_at_ms) <= 1025


def test_everyone_has_a_bucket_of_their_own() -> None:
    limiter: RateLimiter[str] = RateLimiter(per_second=1, burst=1)
    assert limiter.take("ann", 0)
    assert not limiter.take("ann", 0)
    assert limiter.take("bob", 0)


def test_full_buckets_are_forgotten() -> None:
    limiter: RateLimiter[int] = RateLimiter(per_second=1000, burst=1)
    for who in range(10_000):
        limiter.take(who, now_ms=who)
    assert len(limiter._full_at_ms) <= 1025
