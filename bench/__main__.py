"""`python -m bench`: plays the shapes, prints a table, writes JSON and a plot.
`python -m bench check` compares with the budgets.

Exit codes: 0 done, 1 a server did what it must not do or a budget is not met, 2 wrong usage,
3 something that is needed is not there.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import uvloop

from bench.budgets import verdicts
from bench.crowds import crowd, members
from bench.entrances import logins, ready, resumes
from bench.figures import Figure, read_json, table, write_json
from bench.idle import idle
from bench.logs import backlog, offline
from bench.machine import LOAD_CORE, allow_files, on_core
from bench.peer import Wrong
from bench.pings import pings
from bench.plot import plot
from bench.shapes import direct, group, two_nodes
from bench.slopes import slopes
from bench.stage import FULL, MYSQL, QUICK, SQLITE, TINY, Scale, Stage, Unable
from deploy.servers import ServerFailed, missing

Shape: TypeAlias = Callable[[Stage], Awaitable[list[Figure]]]

SHAPES: Final[dict[str, Shape]] = {
    "ready": ready,
    "direct": direct,
    "group": group,
    "crowd": crowd,
    "members": members,
    "two-nodes": two_nodes,
    "pings": pings,
    "offline": offline,
    "backlog": backlog,
    "resumes": resumes,
    "logins": logins,
    "slopes": slopes,
    "idle": idle,
}
EXIT_OK, EXIT_WRONG, EXIT_USAGE, EXIT_LACK = range(4)
FILES: Final = 65_536


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures nodes, beside servers that do less, and checks all that they say.",
    )
    parser.add_argument(
        "what", nargs="?", choices=["run", "check"], default="run", help="default: run"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(SHAPES),
        metavar="SHAPE",
        help=f"one of {', '.join(SHAPES)}; may be given more than once",
    )
    parser.add_argument(
        "--store",
        action="append",
        choices=[SQLITE, MYSQL],
        help="may be given more than once (default: those that are there)",
    )
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="one short round of everything")
    scale.add_argument("--tiny", action="store_true", help="to see that it works, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draws them as SVG into FILE")
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="FILE",
        help="takes the figures from FILE, as --json wrote it, and measures nothing",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.figures is not None:
        try:
            figures, exit_code = read_json(options.figures), EXIT_OK
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f"{options.figures} has no figures ({error}); write it with --json.")
        print(table(figures))
    else:
        names = [name for name in SHAPES if not options.only or name in options.only]
        scale = TINY if options.tiny else QUICK if options.quick else FULL
        figures, exit_code = run(names, options.store or _stores(), scale)
    if options.json is not None:
        write_json(options.json, figures)
    if options.plot is not None:
        options.plot.write_text(plot(figures), "utf-8")
    if options.what == "check":
        text, is_well = verdicts(figures)
        print(text)
        return exit_code or (EXIT_OK if is_well else EXIT_WRONG)
    return exit_code


def run(names: Sequence[str], stores: Sequence[str], scale: Scale) -> tuple[list[Figure], int]:
    """Plays the shapes and prints each one's figures when they are there. A shape that fails is
    told, and the others go on; the exit code is that of the worst."""
    allow_files(FILES)
    # A collection in the load generator would be taken for a pause of the server.
    gc.disable()
    figures: list[Figure] = []
    exit_code = EXIT_OK
    with (
        tempfile.TemporaryDirectory(prefix="chat-bench-") as folder,
        on_core(LOAD_CORE),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        stage = Stage(Path(folder), scale, stores)
        try:
            for name in names:
                start = time.monotonic()
                try:
                    found = runner.run(_play(SHAPES[name], stage))
                except (Wrong, TimeoutError) as failure:
                    why = str(failure) or "a server did not get done in time"
                    print(f"bench: {name}: {why}", file=sys.stderr, flush=True)
                    exit_code = EXIT_WRONG
                    continue
                except (Unable, ServerFailed) as failure:
                    print(f"bench: {name}: {failure}", file=sys.stderr, flush=True)
                    exit_code = exit_code or EXIT_LACK
                    continue
                figures += found
                print(f"{table(found)}\n({name}: {time.monotonic() - start:.0f} s)\n", flush=True)
                gc.collect()
        finally:
            stage.close()
    return figures, exit_code


async def _play(shape: Shape, stage: Stage) -> list[Figure]:
    return await shape(stage)


def _stores() -> list[str]:
    """Those that can be measured here."""
    return [SQLITE, MYSQL] if missing("mariadbd") is None else [SQLITE]


if __name__ == "__main__":
    sys.exit(main())
