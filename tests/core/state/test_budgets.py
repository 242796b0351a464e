"""Budgets by cost: no more than the burst and the rate, but for the rows of one reply."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from chat.core.state.budgets import Budgets
from chat.core.state.config import NodeConfig

CONFIG = NodeConfig(cost_per_second=10, cost_burst=60, rows_per_cost=4)
COSTS = st.integers(1, 20)


class Model:
    """A token bucket in exact fractions."""

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_ms, self.burst = Fraction(per_second, 1_000), burst
        self.level, self.at_ms = Fraction(burst), 0

    def move_to(self, now_ms: int) -> None:
        grown = self.level + self.per_ms * (now_ms - self.at_ms)
        self.level, self.at_ms = min(Fraction(self.burst), grown), now_ms


@given(st.lists(st.tuples(st.integers(0, 3_000), COSTS, st.integers(0, 400)), max_size=100))
def test_what_is_granted_is_what_a_token_bucket_grants(
    story: list[tuple[int, int, int]],
) -> None:
    """After a pause a request of some cost, and if it is granted a reply of some rows."""
    budgets, model, now_ms = Budgets(CONFIG), Model(10, 60), 0
    for pause_ms, cost, rows in story:
        now_ms += pause_ms
        model.move_to(now_ms)
        granted = budgets.requests.take(7, now_ms, cost)
        assert granted == (model.level >= cost)
        if granted:
            model.level -= cost
            budgets.charge_rows(7, now_ms, rows)
            model.level -= rows // 4
        for wanted in (1, cost):
            wait_ms = budgets.requests.wait_ms(7, now_ms, wanted)
            missing_ms = (wanted - model.level) / model.per_ms
            assert max(Fraction(0), missing_ms) <= wait_ms < max(Fraction(0), missing_ms) + 1


@given(st.lists(st.tuples(st.integers(0, 500), COSTS, st.integers(0, 200)), max_size=80))
def test_in_every_window_the_cost_is_within_the_burst_the_rate_and_one_reply(
    story: list[tuple[int, int, int]],
) -> None:
    budgets, now_ms = Budgets(CONFIG), 0
    charged: list[tuple[int, int]] = []
    for pause_ms, cost, rows in story:
        now_ms += pause_ms
        if budgets.requests.take(7, now_ms, cost):
            budgets.charge_rows(7, now_ms, rows)
            charged.append((now_ms, cost + rows // 4))
    for start in range(len(charged)):
        for end in range(start, len(charged)):
            spent = sum(cost for _, cost in charged[start : end + 1])
            window_ms = charged[end][0] - charged[start][0]
            assert spent <= 60 + window_ms / 100 + 200 // 4


def test_rows_are_charged_by_whole_costs() -> None:
    budgets = Budgets(CONFIG)
    budgets.charge_rows(7, 0, 3)
    assert budgets.requests.ready(7, 0, 60)
    budgets.charge_rows(7, 0, 4)
    assert not budgets.requests.ready(7, 0, 60)
    assert budgets.requests.ready(7, 0, 59)


def test_a_user_in_debt_pays_before_it_asks_again() -> None:
    budgets = Budgets(CONFIG)
    budgets.charge_rows(7, 0, 4 * 200)
    assert budgets.requests.wait_ms(7, 0) == 14_100
    assert not budgets.requests.take(7, 14_000)
    assert budgets.requests.take(7, 14_100)


def test_texts_and_other_requests_have_budgets_of_their_own() -> None:
    budgets = Budgets(CONFIG)
    while budgets.requests.take(7, 0, 20):
        pass
    assert all(budgets.sends.take(7, 0) for _ in range(CONFIG.send_burst))
    assert not budgets.sends.take(7, 0)
    assert budgets.requests.take(8, 0, 20)


def test_what_is_counted_a_minute_is_given_back_within_a_minute() -> None:
    config = NodeConfig()
    budgets = Budgets(config)
    for limiter, burst, minute in (
        (budgets.registrations, config.registration_burst, config.registrations_per_minute),
        (budgets.failed_resumes,) + (config.failed_resumes_per_minute,) * 2,
    ):
        assert all(limiter.take("a", 0) for _ in range(burst))
        assert not limiter.take("a", 0)
        taken = sum(limiter.take("a", now_ms) for now_ms in range(0, 60_001, 10))
        assert minute - 1 <= taken <= minute + 1
