"""Every story goes as it is written."""

from pathlib import Path

import pytest

from tests.sim.story_files import asked, play

FILES = sorted((Path(__file__).parent / "stories").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_story(path: Path) -> None:
    text = path.read_text()
    assert play(asked(text)) == text
