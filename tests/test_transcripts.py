"""Every transcript holds, on a real node over a real socket."""

import contextlib
from pathlib import Path

import pytest

from tests import transcript

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
each_transcript = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


@each_transcript
def test_transcript_on_one_node(path: Path, tmp_path: Path) -> None:
    with contextlib.closing(transcript.OneNode(tmp_path)) as site:
        transcript.check(path, site)
