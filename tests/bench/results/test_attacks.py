"""The verdict on an attack, and its table."""

import pytest

from bench.results.attacks import (
    DELIVERED,
    OK,
    SENT,
    Logins,
    Noticed,
    Process,
    Row,
    Spread,
    failures,
    figure,
    markdown_table,
    text_table,
)

FINE = Logins({OK: 3}, 20.0)


def _noticed(p99_ms: float, sent_p99_ms: float | None = None) -> Noticed:
    return Noticed(
        {
            DELIVERED: Spread(1.0, p99_ms, 2 * p99_ms),
            SENT: Spread(1.0, p99_ms if sent_p99_ms is None else sent_p99_ms, 2 * p99_ms),
        },
        missing=0,
        faults=[],
        logins=FINE,
        resumes=FINE,
        late_ms=0.1,
    )


ROW = Row(
    "ping",
    "node, sqlite",
    _noticed(2.0),
    _noticed(10.0),
    Process((5.0, 99.0, 6.0), (60.0, 80.0, 70.0), 1.0),
    {"opened": 50},
)


def _during(**values: object) -> Row:
    return ROW._replace(during=ROW.during._replace(**values))  # type: ignore[arg-type]


def test_five_times_the_quiet_p99_is_met() -> None:
    assert failures(ROW) == []


@pytest.mark.parametrize("during", [_noticed(10.2), _noticed(1.0, sent_p99_ms=10.2)])
def test_more_is_not_whether_until_delivery_or_until_the_reply(during: Noticed) -> None:
    assert failures(ROW._replace(during=during)) == ["chat p99 5.1 × that before"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (_during(missing=3), "3 texts missing"),
        (_during(faults=["user-1: closed"]), "1 connections lost (user-1: closed)"),
        (_during(logins=Logins({OK: 2, "busy": 1}, 20.0)), "login: 1 busy"),
        (_during(logins=Logins({"rate_limited": 1}, 20.0)), "login: 1 rate_limited"),
        (_during(resumes=Logins({"unanswered": 2}, 5_000.0)), "resume: 2 unanswered"),
        (ROW._replace(node_ended=True), "the node ended"),
        (ROW._replace(logs_once=True), "0 lines logged, not 1"),
        (ROW._replace(logs_once=True, log_lines=7), "7 lines logged, not 1"),
    ],
)
def test_what_else_is_not_met(row: Row, why: str) -> None:
    assert failures(row) == [why]


def test_the_log_counts_only_where_a_line_is_required() -> None:
    assert failures(ROW._replace(log_lines=7)) == []
    assert failures(ROW._replace(logs_once=True, log_lines=1)) == []


@pytest.mark.parametrize(("outcome", "is_met"), [("limit_reached", True), ("busy", False)])
def test_on_the_address_of_the_attackers_a_login_may_be_over_a_limit_but_not_busy(
    outcome: str, is_met: bool
) -> None:
    row = _during(logins=Logins({OK: 1, outcome: 1}, 20.0))._replace(shares_address=True)
    assert (not failures(row)) == is_met


def test_latencies_are_sorted_and_in_ms() -> None:
    assert Spread.of([0.003, 0.001, 0.002]) == Spread(2.0, 3.0, 3.0)
    assert Spread.of([]) == Spread(0.0, 0.0, 0.0)
    assert Spread.of([one / 1000 for one in range(1, 201)]).p99_ms == pytest.approx(199)


def test_the_tables_have_a_line_for_each_attack_with_its_verdict() -> None:
    rows = [ROW, _during(logins=Logins({OK: 2, "busy": 1}, 1_234.0))]
    text, markdown = text_table(rows).splitlines(), markdown_table(rows).splitlines()
    assert text[1].startswith("ping ") and text[1].endswith("  met")
    assert "1,234 (1 busy)" in text[2] and text[2].endswith("NOT MET: login: 1 busy")
    assert len(markdown) == 4
    assert len({line.count("|") for line in markdown}) == 1
    assert markdown[2].startswith("| ping |") and markdown[2].endswith("| met |")


def test_all_values_are_in_the_figure() -> None:
    values = figure(ROW).values
    assert values["during.delivered.p99_ms"] == 10.0
    assert values["quiet.login.ok"] == 3.0
    assert values["peak.node.cpu_percent"] == 99.0
    assert values["after.node.memory_mib"] == 70.0
    assert values["others_percent"] == 1.0
    assert values["attackers.opened"] == 50.0
    assert values["met"] == 1.0
