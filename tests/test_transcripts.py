"""Every transcript holds, on a real node over a real socket."""

from pathlib import Path

import pytest

from tests import transcript

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_transcript(path: Path, tmp_path: Path) -> None:
    transcript.check(path, tmp_path)
