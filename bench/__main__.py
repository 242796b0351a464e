"""`python -m bench`: plays the shapes, prints a table, writes JSON. Exit codes: 0 done, 1 a server
did what it must not do, 2 wrong usage, 3 something that is needed is not there."""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

import uvloop

from bench.crowds import crowd, members
from bench.entrances import logins, ready, resumes
from bench.figures import Figure, table, write_json
from bench.idle import idle
from bench.logs import backlog, offline
from bench.machine import LOAD_CORE, allow_files, on_core
from bench.peer import Wrong
from bench.shapes import direct, group, two_nodes
from bench.stage import FULL, MYSQL, QUICK, SQLITE, TINY, Scale, Stage, Unable
from deploy.servers import ServerFailed

Shape: TypeAlias = Callable[[Stage], Awaitable[list[Figure]]]

SHAPES: Final[dict[str, Shape]] = {
    "ready": ready,
    "direct": direct,
    "group": group,
    "crowd": crowd,
    "members": members,
    "two-nodes": two_nodes,
    "offline": offline,
    "backlog": backlog,
    "resumes": resumes,
    "logins": logins,
    "idle": idle,
}
EXIT_OK, EXIT_WRONG, EXIT_USAGE, EXIT_LACK = range(4)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=sorted(SHAPES),
        metavar="SHAPE",
        help=f"one of {', '.join(SHAPES)}; may be given more than once",
    )
    parser.add_argument(
        "--store",
        action="append",
        choices=[SQLITE, MYSQL],
        help="may be given more than once (default: sqlite)",
    )
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--tiny", action="store_true", help="to see that it works, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the figures to FILE")
    return parser


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        figures = run(
            [name for name in SHAPES if not options.only or name in options.only],
            options.store or [SQLITE],
            TINY if options.tiny else QUICK if options.quick else FULL,
        )
    except (Wrong, TimeoutError) as failure:
        print(f"bench: {str(failure) or 'the server did not get done in time'}", file=sys.stderr)
        return EXIT_WRONG
    except (Unable, ServerFailed) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return EXIT_LACK
    if options.json is not None:
        write_json(options.json, figures)
    return EXIT_OK


def run(names: list[str], stores: list[str], scale: Scale) -> list[Figure]:
    """Plays the shapes and prints each one's figures when they are there."""
    allow_files(65_536)
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="chat-bench-") as folder,
        on_core(LOAD_CORE),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        stage = Stage(Path(folder), scale, stores)
        try:
            for name in names:
                start = time.monotonic()
                found = runner.run(_play(SHAPES[name], stage))
                figures += found
                print(f"{table(found)}\n({name}: {time.monotonic() - start:.0f} s)\n", flush=True)
                gc.collect()
        finally:
            stage.close()
    return figures


async def _play(shape: Shape, stage: Stage) -> list[Figure]:
    return await shape(stage)


if __name__ == "__main__":
    sys.exit(main())
