"""What holds for all tests: the same examples each time, and no server test left out in CI.

`pytest --hypothesis-profile explore` tries other examples, and more of them.
"""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

REQUIRE_SERVERS = "CHAT_REQUIRE_SERVERS"

settings.register_profile("house", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1_000, deadline=None)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "servers: needs server programs; skipped where there are none, "
        f"but fails if {REQUIRE_SERVERS} is set",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get(REQUIRE_SERVERS) and item.get_closest_marker("servers"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though {REQUIRE_SERVERS} is set: {report.longrepr}"
    return report
