"""Settings for all tests: the same Hypothesis examples each time, no skipped server test in CI.

`pytest --hypothesis-profile explore` tries more examples, and different ones each time.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from deploy import servers

REQUIRE_SERVERS = "CHAT_REQUIRE_SERVERS"

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1_000, deadline=None)
settings.load_profile("fixed")


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


# ---------------------------------------------------------------------------- server programs


@pytest.fixture(scope="session", name="mariadb")
def fixture_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.MariaDb]:
    """One server for all tests; a test must not stop or reconfigure it."""
    need("mariadbd")
    server = servers.MariaDb(tmp_path_factory.mktemp("mariadb"))
    server.start()
    yield server
    servers.stop_all([server])


@pytest.fixture(name="database")
def fixture_database(mariadb: servers.MariaDb) -> str:
    """The URL of a new database."""
    return mariadb.fresh_database()


@pytest.fixture(name="redis")
def fixture_redis(tmp_path: Path) -> Iterator[servers.Redis]:
    """A server for this test alone, which may stop or kill it."""
    need("redis-server")
    server = servers.Redis(tmp_path / "redis")
    server.start()
    yield server
    # It has nothing to save, and a clean stop takes a tenth of a second.
    server.kill()


def need(*programs: str) -> None:
    """Skips the test where programs are missing."""
    sentence = servers.missing(*programs)
    if sentence is not None:
        pytest.skip(sentence)
