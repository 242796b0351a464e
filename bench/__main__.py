"""`python -m bench`: runs the workloads, prints a table, writes JSON and a plot.
`python -m bench check` compares the figures with the budgets.

Exit codes: 0 done, 1 a server answered wrongly or a budget is not met, 2 usage error,
3 a required program is missing.
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

from bench.load.peer import CheckFailed
from bench.results.budgets import verdicts
from bench.results.comparison import FULL, QUICK, TINY, Scale
from bench.results.figures import Figure, read_json, table, write_json
from bench.results.machine import LOAD_CORE, allow_files, on_core
from bench.results.plot import plot
from bench.targets.environment import MYSQL, SQLITE, Environment, MissingRequirement
from bench.workloads.authentication import logins, ready, resumes
from bench.workloads.idle import idle
from bench.workloads.large_groups import large_group, members
from bench.workloads.logs import backlog, offline
from bench.workloads.pings import pings
from bench.workloads.slopes import slopes
from bench.workloads.storm import storm
from bench.workloads.texts import direct, group, two_nodes
from deploy.servers import ServerFailed, missing

Workload: TypeAlias = Callable[[Environment], Awaitable[list[Figure]]]

WORKLOADS: Final[dict[str, Workload]] = {
    "ready": ready,
    "direct": direct,
    "group": group,
    "large-group": large_group,
    "members": members,
    "two-nodes": two_nodes,
    "pings": pings,
    "offline": offline,
    "backlog": backlog,
    "resumes": resumes,
    "logins": logins,
    "storm": storm,
    "slopes": slopes,
    "idle": idle,
}
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_MISSING = range(4)
FILES: Final = 65_536


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures nodes beside baseline servers, and checks every line that they send.",
    )
    parser.add_argument(
        "what", nargs="?", choices=["run", "check"], default="run", help="default: run"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(WORKLOADS),
        metavar="WORKLOAD",
        help=f"one of {', '.join(WORKLOADS)}; may be given more than once",
    )
    parser.add_argument(
        "--store",
        action="append",
        choices=[SQLITE, MYSQL],
        help="may be given more than once (default: every store that is installed)",
    )
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="one short round of each workload")
    scale.add_argument("--tiny", action="store_true", help="a smoke test; the figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures as SVG")
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="FILE",
        help="read the figures from FILE, written by --json, instead of measuring",
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
        names = [name for name in WORKLOADS if not options.only or name in options.only]
        scale = TINY if options.tiny else QUICK if options.quick else FULL
        figures, exit_code = run(names, options.store or _stores(), scale)
    if options.json is not None:
        write_json(options.json, figures)
    if options.plot is not None:
        options.plot.write_text(plot(figures), "utf-8")
    if options.what == "check":
        text, is_met = verdicts(figures)
        print(text)
        return exit_code or (EXIT_OK if is_met else EXIT_FAILED)
    return exit_code


def run(names: Sequence[str], stores: Sequence[str], scale: Scale) -> tuple[list[Figure], int]:
    """Runs the workloads in order and prints the figures of each as soon as it is done.

    A workload that fails is reported on stderr, and the remaining ones still run. The exit code is
    EXIT_FAILED if any server answered wrongly, else EXIT_MISSING if any workload lacks a program.
    """
    allow_files(FILES)
    # A garbage collection in the load generator would be measured as a pause of the server.
    gc.disable()
    figures: list[Figure] = []
    exit_code = EXIT_OK
    with (
        tempfile.TemporaryDirectory(prefix="chat-bench-") as folder,
        on_core(LOAD_CORE),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        environment = Environment(Path(folder), scale, stores)
        try:
            for name in names:
                start = time.monotonic()
                try:
                    found = runner.run(_run_workload(WORKLOADS[name], environment))
                except (CheckFailed, TimeoutError) as failure:
                    why = str(failure) or "a server did not finish in time"
                    print(f"bench: {name}: {why}", file=sys.stderr, flush=True)
                    exit_code = EXIT_FAILED
                    continue
                except (MissingRequirement, ServerFailed) as failure:
                    print(f"bench: {name}: {failure}", file=sys.stderr, flush=True)
                    exit_code = exit_code or EXIT_MISSING
                    continue
                figures += found
                print(f"{table(found)}\n({name}: {time.monotonic() - start:.0f} s)\n", flush=True)
                gc.collect()
        finally:
            environment.close()
    return figures, exit_code


async def _run_workload(workload: Workload, environment: Environment) -> list[Figure]:
    return await workload(environment)


def _stores() -> list[str]:
    """The stores that can be measured on this machine."""
    return [SQLITE, MYSQL] if missing("mariadbd") is None else [SQLITE]


if __name__ == "__main__":
    sys.exit(main())
