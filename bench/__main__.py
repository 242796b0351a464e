"""`python -m bench`: runs the workloads, prints a table, writes JSON and a plot.
`python -m bench check` compares the figures with the budgets; `python -m bench attacks` attacks a
node and prints what its legitimate users notice.

Exit codes: 0 done, 1 a server answered wrongly, or a budget or an attack's target is not met,
2 usage error, 3 a required program is missing.
"""

import argparse
import asyncio
import contextlib
import gc
import itertools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import uvloop

from bench.load.peer import CheckFailed
from bench.results.attacks import Row, failures, markdown_table, summary, text_table
from bench.results.attacks import figure as attack_figure
from bench.results.budgets import verdicts
from bench.results.comparison import FULL, QUICK, TINY, Scale
from bench.results.figures import Figure, read_json, table, write_json
from bench.results.machine import LOAD_CORE, allow_files, on_core
from bench.results.plot import plot
from bench.targets.environment import MYSQL, SQLITE, Environment, MissingRequirement
from bench.workloads.attacks.measuring import MeasurementFailed, measure
from bench.workloads.attacks.registry import ATTACKS
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
        "what", nargs="?", choices=["run", "check", "attacks"], default="run", help="default: run"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*WORKLOADS, *ATTACKS],
        metavar="NAME",
        help=f"one of {', '.join(WORKLOADS)}; or, of the attacks, one of {', '.join(ATTACKS)}; "
        "may be given more than once",
    )
    parser.add_argument(
        "--store",
        action="append",
        choices=[SQLITE, MYSQL],
        help="may be given more than once (default: every store that is installed; "
        "of attacks: sqlite)",
    )
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="one short round of each workload")
    scale.add_argument("--tiny", action="store_true", help="a smoke test; the figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures as SVG")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the table of attacks to FILE"
    )
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
    known = ATTACKS if options.what == "attacks" else WORKLOADS
    for name in options.only or ():
        if name not in known:
            parser.error(f"{name} is not one of {', '.join(known)}.")
    scale = TINY if options.tiny else QUICK if options.quick else FULL
    if options.what == "attacks":
        names = [name for name in ATTACKS if not options.only or name in options.only]
        rows, exit_code = run_attacks(names, options.store or [SQLITE], scale)
        if options.json is not None:
            write_json(options.json, [attack_figure(row) for row in rows])
        if options.markdown is not None:
            options.markdown.write_text(markdown_table(rows) + "\n", "utf-8")
        return exit_code
    if options.figures is not None:
        try:
            figures, exit_code = read_json(options.figures), EXIT_OK
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f"{options.figures} has no figures ({error}); write it with --json.")
        print(table(figures))
    else:
        names = [name for name in WORKLOADS if not options.only or name in options.only]
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


@contextlib.contextmanager
def _prepared(scale: Scale, stores: Sequence[str]) -> Iterator[tuple[Environment, asyncio.Runner]]:
    """The environment, in a folder of its own, and what runs the load on its core."""
    allow_files(FILES)
    with (
        tempfile.TemporaryDirectory(prefix="chat-bench-") as folder,
        on_core(LOAD_CORE),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        environment = Environment(Path(folder), scale, stores)
        try:
            yield environment, runner
        finally:
            environment.close()


def run(names: Sequence[str], stores: Sequence[str], scale: Scale) -> tuple[list[Figure], int]:
    """Runs the workloads in order and prints the figures of each as soon as it is done.

    A workload that fails is reported on stderr, and the remaining ones still run. The exit code is
    EXIT_FAILED if any server answered wrongly, else EXIT_MISSING if any workload lacks a program.
    """
    # A garbage collection in the load generator would be measured as a pause of the server.
    gc.disable()
    figures: list[Figure] = []
    exit_code = EXIT_OK
    with _prepared(scale, stores) as (environment, runner):
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
    return figures, exit_code


def run_attacks(names: Sequence[str], stores: Sequence[str], scale: Scale) -> tuple[list[Row], int]:
    """Runs the attacks in order, prints the row of each as soon as it is done, and the table.

    The exit code is EXIT_FAILED if a row is not met or could not be measured, EXIT_MISSING if a
    program is missing.
    """
    rows: list[Row] = []
    exit_code = EXIT_OK
    with _prepared(scale, stores) as (environment, runner):
        for store, name in itertools.product(stores, names):
            try:
                row = runner.run(measure(ATTACKS[name], environment, store))
            except (CheckFailed, MeasurementFailed, ServerFailed, TimeoutError) as failure:
                why = str(failure) or "a process did not answer in time"
                print(f"bench: {name}: {why}", file=sys.stderr, flush=True)
                exit_code = EXIT_FAILED
                continue
            except MissingRequirement as failure:
                print(f"bench: {name}: {failure}", file=sys.stderr, flush=True)
                exit_code = exit_code or EXIT_MISSING
                continue
            rows.append(row)
            print(f"{name}: {ATTACKS[name].does}\n  {summary(row)}", flush=True)
    print(f"\n{text_table(rows)}")
    return rows, EXIT_FAILED if any(map(failures, rows)) else exit_code


async def _run_workload(workload: Workload, environment: Environment) -> list[Figure]:
    return await workload(environment)


def _stores() -> list[str]:
    """The stores that can be measured on this machine."""
    return [SQLITE, MYSQL] if missing("mariadbd") is None else [SQLITE]


if __name__ == "__main__":
    sys.exit(main())
