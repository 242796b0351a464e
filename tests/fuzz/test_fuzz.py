"""The fuzzing of the suite: 20,000 lines, the same each time."""

import pytest

from tests.fuzz import run
from tests.fuzz.lines import CORPUS
from tests.fuzz.run import LineFailed, fuzz
from tests.fuzz.targets import check_shown

LINES = 20_000
SEED = 14


@pytest.mark.parametrize("name", run.TARGETS)
def test_hostile_lines(name: str) -> None:
    assert fuzz(name, LINES, SEED) > 1_000


def test_each_target_has_its_share() -> None:
    assert sum(run.SHARES.values()) == pytest.approx(1)
    assert len(CORPUS) > 15


def test_a_line_that_is_not_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "decode", lambda lines: 1 / (len(lines.draw()) % 7))
    with pytest.raises(LineFailed, match=r"decode, seed 14, line \d+: b"):
        fuzz("decode", 1_000, SEED)


@pytest.mark.parametrize("text", ["\x1b[31m", "a\u202eb", "a\x9bb", "\x07"])
def test_what_a_terminal_obeys_is_found(text: str) -> None:
    with pytest.raises(AssertionError):
        check_shown(text)
