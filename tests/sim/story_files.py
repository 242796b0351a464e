"""Stories as files: lines that begin with "> " are done, the others are what must be seen.

After a change that is meant, `python -m tests.sim.story_files FILE` writes what is seen now.
"""

import sys
from pathlib import Path

from sim.story import Story, transcript


def play(text: str) -> str:
    """The story with what is seen after each line, and the group's log at the end."""
    return "\n".join(transcript(Story(), text)) + "\n"


def asked(text: str) -> str:
    """The story without what is seen."""
    return "\n".join(ln for ln in text.splitlines() if ln.startswith(("#", ">")) or not ln)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(play(asked(path.read_text())))
