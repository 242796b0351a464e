"""The command line: `python -m sim`.

Exit codes: 0 no violation, 1 an invariant was violated (or the default run did not reach a cell, a
fact or a fault), 2 the options are wrong, 3 a seed gave two different runs, 130 interrupted.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import NoReturn

from sim import mutants_cli, pool
from sim.checkers import Violation
from sim.faults.swarm import KINDS
from sim.report import diagram, summary
from sim.report.run_report import Plan, Report
from sim.report.shrink import shrink
from sim.run import run_plan
from sim.story import Story, transcript

OK, VIOLATED, USAGE, NOT_DETERMINISTIC = 0, 1, 2, 3
DEFAULT_SEEDS = 100
ENOUGH_SEEDS = 60
"""A default run of fewer seeds, cut short by the time limit, only prints what is missing: it need
not have reached everything."""
DEFAULT_LIMIT_S = 52.0
"""The default run is cut short after this time."""
TELL_EVERY_S = 5.0
BAR = 30


class Parser(argparse.ArgumentParser):
    """Reports wrong options in one sentence."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; see {self.prog} --help.\n")
        raise SystemExit(USAGE)


class Progress:
    """Progress on stderr: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar = sys.stderr.isatty()
        self._told_s = monotonic()

    def show(self, totals: summary.Totals) -> None:
        if self._bar:
            full = BAR * totals.seeds // self._total
            bar = "█" * full + "·" * (BAR - full)
            sys.stderr.write(f"\r{bar} {self._words(totals)} ")
            sys.stderr.flush()
        elif monotonic() - self._told_s >= TELL_EVERY_S:
            self._told_s = monotonic()
            sys.stderr.write(self._words(totals) + "\n")

    def _words(self, totals: summary.Totals) -> str:
        hours = totals.simulated_ms / 3_600_000
        return f"{totals.seeds}/{self._total} seeds, {hours:.1f} simulated hours"

    def end(self) -> None:
        if self._bar:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


# ------------------------------------------------------------------ options


def _number(low: int, high: int) -> "argparse._ActionType":
    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"it is a number from {low} to {high}, not {text!r}")
        return int(text)

    return read


def _seconds(text: str) -> int:
    """A number of seconds, as ms."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"it is 1 to 86400 seconds, not {text!r}")
    return int(seconds * 1_000)


def _faults(text: str) -> tuple[str, ...]:
    if text in ("none", "all"):
        return tuple(KINDS) if text == "all" else ()
    kinds = tuple(kind.strip() for kind in text.split(",") if kind.strip())
    strange = [kind for kind in kinds if kind not in KINDS]
    if strange or not kinds:
        known = ", ".join(("none", "all", *KINDS))
        what = strange[0] if strange else text
        raise argparse.ArgumentTypeError(f"there is no fault {what!r}, there are {known}")
    return tuple(dict.fromkeys(kinds))


def _parser() -> Parser:
    parser = Parser(
        prog="python -m sim",
        description="Runs whole clusters on a virtual clock with faults, and checks the contract.",
        epilog="python -m sim show draws a run, python -m sim story plays one that was written by "
        "hand, and python -m sim mutants plants known bugs; each has its own --help.",
    )
    parser.add_argument("--seed", type=_number(0, 2**63), metavar="N", help="the (first) seed")
    parser.add_argument(
        "--seeds",
        type=_number(1, 10_000_000),
        metavar="N",
        help=f"how many seeds; {DEFAULT_SEEDS} if nothing is said, 1 with --seed",
    )
    parser.add_argument("--check-determinism", action="store_true", help="run each seed twice")
    _add_plan_options(parser)
    parser.add_argument(
        "--jobs",
        type=_number(1, 256),
        default=min(os.cpu_count() or 1, 256),
        metavar="N",
        help="processes (%(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="where a failure is drawn (sim-SEED.html)"
    )
    return parser


def _show_parser() -> Parser:
    parser = Parser(
        prog="python -m sim show",
        description="Draws a run: who sent what to whom and when, and what went wrong.",
    )
    parser.add_argument("seed", type=_number(0, 2**63), metavar="SEED")
    _add_plan_options(parser)
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="where it is written (sim-SEED.html)"
    )
    return parser


def _story_parser() -> Parser:
    parser = Parser(
        prog="python -m sim story",
        description="Plays a story: lines as they stand in tests/sim/stories, which failing tests "
        "print, and which sim/story.py explains.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the story; - reads it from stdin")
    parser.add_argument("--html", type=Path, metavar="FILE", help="where it is drawn")
    return parser


def _mutants_parser() -> Parser:
    parser = Parser(
        prog="python -m sim mutants",
        description="Plants known bugs one by one, and runs seeds until each is caught.",
    )
    mutants_cli.add_options(parser, _number)
    return parser


def _add_plan_options(parser: argparse.ArgumentParser) -> None:
    usual = Plan(0)
    parser.add_argument(
        "--nodes", type=_number(1, 16), default=usual.nodes, metavar="N", help="(%(default)s)"
    )
    parser.add_argument(
        "--clients", type=_number(2, 24), default=usual.devices, metavar="N", help="(%(default)s)"
    )
    parser.add_argument(
        "--steps",
        type=_seconds,
        default=usual.steps_ms,
        metavar="S",
        help="simulated seconds of the workload (60)",
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        metavar="A,B,…",
        help="kinds of faults, none or all; drawn by each seed if not said, as how severe each is",
    )


def _plan(options: argparse.Namespace, seed: int) -> Plan:
    return Plan(seed, options.nodes, options.clients, options.steps, options.faults)


# ------------------------------------------------------------------ commands


def main(argv: Sequence[str]) -> int:
    """Carries out the command line and returns the exit code."""
    command, *rest = argv or [""]
    commands = {
        "show": (_show_parser, _show),
        "story": (_story_parser, _story),
        "mutants": (_mutants_parser, _mutants),
    }
    parser, carry_out = commands.get(command, (_parser, _simulate))
    options = parser().parse_args(rest if command in commands else argv)
    for name in ("html", "json", "markdown"):
        path: Path | None = getattr(options, name, None)
        if path is not None and not path.absolute().parent.is_dir():
            sys.stderr.write(f"There is no folder {path.absolute().parent}; make it first.\n")
            return USAGE
        if path is not None and path.is_dir():
            sys.stderr.write(f"{path} is a folder; name a file in it.\n")
            return USAGE
    return carry_out(options)


def _mutants(options: argparse.Namespace) -> int:
    return mutants_cli.run(options, OK, VIOLATED, USAGE)


def _simulate(options: argparse.Namespace) -> int:
    first = options.seed or 0
    count = options.seeds or (1 if options.seed is not None else DEFAULT_SEEDS)
    default = options.seed is None and options.seeds is None and _plan(options, 0) == Plan(0)
    plans = (_plan(options, seed) for seed in range(first, first + count))
    totals = summary.Totals()
    progress = Progress(count)
    until = monotonic() + DEFAULT_LIMIT_S if default else None
    failed: tuple[Plan, Report, Violation] | None = None
    unequal: dict[int, str] = {}
    for report, differs in _runs(plans, count, options):
        totals.add(report)
        progress.show(totals)
        if differs is not None:
            unequal[report.seed] = differs
        if report.violation is not None:
            failed = (_plan(options, report.seed), report, report.violation)
        if failed or unequal or (until is not None and monotonic() >= until):
            break
    progress.end()
    story = _report_failure(*failed, options.html) if failed else None
    print("\n".join(summary.totals_lines(totals)))
    code = _verdict(totals, failed is not None, unequal, complete=default, asked=count)
    if options.json is not None:
        violation = (story, failed[2]) if story and failed else None
        data = summary.as_json(totals, violation, unequal)
        text = json.dumps(data, indent=2, ensure_ascii=False)
        if not _write(options.json, text + "\n", "--json"):
            return USAGE
    return code


def _show(options: argparse.Namespace) -> int:
    plan = _plan(options, options.seed)
    report = run_plan(plan, keep_trace=True)
    if report.violation is not None:
        print("\n".join(summary.failure_lines(plan, report, report.violation)))
    written = _draw(plan, report, options.html)
    return USAGE if not written else VIOLATED if report.violation else OK


def _draw(plan: Plan, report: Report, path: Path | None) -> bool:
    """Writes the diagram of a run whose trace was kept, and prints where it is."""
    path = path or Path(f"sim-{plan.seed}.html")
    if not _write(path, diagram.page(diagram.of_plan(plan, report)), "--html"):
        return False
    print(f"diagram          {path.absolute()}")
    return True


def _write(path: Path, text: str, option: str) -> bool:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        sys.stderr.write(
            f"{path} cannot be written: {error.strerror}; name another with {option}.\n"
        )
        return False
    return True


def _story(options: argparse.Namespace) -> int:
    """Plays a story and prints what is seen, line by line."""
    try:
        text = sys.stdin.read() if str(options.file) == "-" else options.file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        sys.stderr.write(f"{options.file} cannot be read: {reason}; name a file of a story.\n")
        return USAGE
    story = Story(keep_trace=options.html is not None)
    violation: Violation | None = None
    try:
        for line in transcript(story, text):
            print(line, flush=True)
    except ValueError as error:
        sys.stderr.write(f"{str(error)[:1].upper()}{str(error)[1:]}; see sim/story.py.\n")
        return USAGE
    except Violation as seen:
        violation = seen
        print(f"VIOLATION\ninvariant        {seen.invariant}\nseen             {seen.seen}")
    if options.html is not None:
        again = f"python -m sim story {options.file}"
        page = diagram.page(diagram.diagram_of(story.report(violation), "A story", again))
        if not _write(options.html, page, "--html"):
            return USAGE
        print(f"diagram          {options.html.absolute()}")
    return VIOLATED if violation else OK


def _runs(
    plans: Iterator[Plan], count: int, options: argparse.Namespace
) -> Iterator[tuple[Report, str | None]]:
    """Each plan's report, and where the trace of a second run of it differed."""
    if options.check_determinism:
        for first, second in pool.pairs(plans, options.jobs):
            yield first, summary.difference(first, second)
    else:
        for report in pool.reports(plans, min(options.jobs, count)):
            yield report, None


def _report_failure(plan: Plan, report: Report, violation: Violation, html: Path | None) -> Plan:
    """Prints a violation and the smallest failing plan, draws that, and returns it."""
    print("\n".join(summary.failure_lines(plan, report, violation)), flush=True)
    shrunk = shrink(plan, report, run_plan)
    small = shrunk.plan
    print("\n".join(summary.smallest_plan_lines(small, shrunk.report, shrunk.runs)))
    _draw(small, run_plan(small, keep_trace=True), html)
    print()
    return small


def _verdict(
    totals: summary.Totals, failed: bool, unequal: dict[int, str], *, complete: bool, asked: int
) -> int:
    for seed, where in unequal.items():
        print(f"Seed {seed} is not deterministic: its two runs differ at {where}.")
    if failed:
        return VIOLATED
    if unequal:
        return NOT_DETERMINISTIC
    if complete and totals.seeds < asked:
        print(f"Stopped after {totals.seeds} of {asked} seeds, as a minute is over.")
    if complete and (gaps := totals.gaps()):
        print("\n".join(f"Gap: {gap}." for gap in gaps))
        if totals.seeds >= ENOUGH_SEEDS:
            return VIOLATED
    print("No violation.")
    return OK
