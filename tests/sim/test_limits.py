"""The models of limits accept what a true limiter does, and nothing beyond it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.state.rate_limiter import RateLimiter
from sim.checkers.limits.bucket import Bucket, Kind, Use
from sim.checkers.limits.peers import limited_address
from sim.checkers.limits.under_way import FIRST_OPERATION, kind_of
from sim.cluster.cluster import CONFIG, NAMES, Cluster

BURST, PER_SECOND = 20, 10
asked = st.tuples(st.sampled_from([Kind.TAKEN, Kind.CHARGED]), st.integers(1, 15))


@given(st.lists(st.tuples(st.integers(0, 2_000), st.lists(st.tuples(st.integers(0, 2), asked)))))
def test_what_a_limiter_decides_is_no_fault_in_whichever_order(
    story: list[tuple[int, list[tuple[int, tuple[Kind, int]]]]],
) -> None:
    """After each pause, connections ask for this and that within one event, in some order."""
    limiter: RateLimiter[int] = RateLimiter(per_second=PER_SECOND, burst=BURST)
    bucket, now_ms = Bucket(60 * PER_SECOND, BURST, 0), 0
    for pause_ms, uses in story:
        now_ms += pause_ms
        bucket.move_to(now_ms)
        by_connection: dict[int, list[Use]] = {}
        for connection, (kind, cost) in uses:
            use = Use(kind, cost)
            if kind is Kind.CHARGED:
                limiter.charge(1, now_ms, cost)
            elif not limiter.take(1, now_ms, cost):
                use = Use(Kind.REFUSED, cost, limiter.wait_ms(1, now_ms, cost))
            by_connection.setdefault(connection, []).append(use)
        if by_connection:
            assert bucket.judge(list(by_connection.values())) is None


def bucket_with(level: int) -> Bucket:
    bucket = Bucket(60 * PER_SECOND, BURST, 0)
    assert bucket.judge([[Use(Kind.CHARGED, BURST - level)]]) is None
    return bucket


@pytest.mark.parametrize(
    ("use", "over"),
    [
        (Use(Kind.TAKEN, 6), True),
        (Use(Kind.TESTED, 6), True),
        (Use(Kind.REFUSED, 5, 100), False),
        (Use(Kind.REFUSED, 6, 90), False),
        (Use(Kind.REFUSED, 6, 110), False),
        (Use(Kind.REFUSED, 6, None), False),
    ],
)
def test_what_goes_beyond_the_budget_or_falls_short_of_it_is_a_fault(use: Use, over: bool) -> None:
    fault = bucket_with(5).judge([[use]])
    assert fault is not None
    assert fault.over is over
    fault = bucket_with(5).judge([[use], [Use(Kind.TESTED, 1)]])
    assert fault is not None
    assert fault.over is over


def test_several_connections_together_take_no_more_than_the_budget() -> None:
    take = Use(Kind.TAKEN, 3)
    assert bucket_with(5).judge([[take], [Use(Kind.REFUSED, 3, 100)]]) is None
    fault = bucket_with(5).judge([[take], [take]])
    assert fault is not None and fault.over


@pytest.mark.parametrize(
    ("address", "limited"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_an_address_is_one_of_ipv4_or_64_bits_of_ipv6(address: str, limited: str) -> None:
    assert limited_address(address) == limited


def test_each_operation_of_a_user_has_a_queue() -> None:
    assert all(kind_of(operation) for operation in FIRST_OPERATION.values())


def test_users_of_a_simulated_cluster_have_addresses_of_all_forms() -> None:
    """All connections of a user are of one address; no two users share one."""
    cluster = Cluster(0, devices=2 * len(NAMES))
    cluster.world.run_for(2_000)
    forms = set()
    by_user: dict[str, set[str]] = {}
    for device in cluster.devices:
        for number in (1, 2):
            address = cluster.address_of(device, number)
            forms.add(("." in address, ":" in address))
            by_user.setdefault(device.user, set()).add(limited_address(address))
    assert forms == {(True, False), (False, True), (True, True)}
    assert all(len(addresses) == 1 for addresses in by_user.values())
    assert len(set.union(*by_user.values())) == len(by_user)
    assert CONFIG.connections_per_user <= CONFIG.connections // 4
