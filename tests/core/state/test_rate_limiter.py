"""Token buckets."""

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
