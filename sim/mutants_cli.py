"""`python -m sim mutants`: plants mutants and prints which invariant failed after how many seeds.

Exit codes: 0 all are caught, 1 one survived (or the canary did, or the unchanged code failed), 2
the options are wrong.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sim.hunt import MOST_SEEDS, hunt_all
from sim.mutants import Catch, Mutant
from sim.mutants.catalogue import CANARY, MUTANTS, NOTHING

CANARY_SEEDS = 1
QUIET_SEEDS = 20
"""How many seeds are run without a mutant: many more than most mutants survive."""
SURVIVED = "survived"

HEAD = """\
# Planted bugs

Does the simulator notice a bug? Each of these bugs was planted in the code, one at a time, and
seeds were run from 0 on until an invariant failed. A bug that survives {most:,} seeds is a failure
of the command that wrote this table:

    .venv/bin/python -m sim mutants --markdown docs/mutants.md

`{canary}` shows that a run fails when a text is changed; `{nothing}` is the code without a bug, run
for {quiet} seeds, and must not fail. `.venv/bin/python -m sim mutants NAME` plants one of them.
They are in `sim/mutants/`; the invariants are in `sim/checkers/`.

{count} mutants. Half of them are caught by seed {median} or before, all by seed {last}.

| mutant | what is wrong | seeds | caught by |
|---|---|---:|---|
"""


def add_options(
    parser: argparse.ArgumentParser, number: "Callable[[int, int], argparse._ActionType]"
) -> None:
    """`number` makes the type of an option that is a number within bounds."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="tell what there are, and plant none")
    parser.add_argument(
        "--most-seeds",
        type=number(1, 1_000_000),
        default=MOST_SEEDS,
        metavar="N",
        help="seeds a mutant has to survive to fail the run (%(default)s)",
    )
    parser.add_argument("--jobs", type=number(1, 256), default=2, metavar="N", help="(%(default)s)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="where the one named is drawn")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown")


def run(options: argparse.Namespace, ok: int, violated: int, usage: int) -> int:
    """Carries the command out, and returns one of the three exit codes."""
    known = {mutant.name: mutant for mutant in (CANARY, NOTHING, *MUTANTS)}
    strange = [name for name in options.names if name not in known]
    if strange:
        sys.stderr.write(f"There is no mutant {strange[0]!r}; see python -m sim mutants --list.\n")
        return usage
    if options.html is not None and len(options.names) != 1:
        sys.stderr.write("Only one mutant can be drawn; name it before --html.\n")
        return usage
    if options.list:
        print("\n".join(f"{mutant.name:36} {mutant.what}" for mutant in known.values()))
        return ok
    hunted = [known[name] for name in options.names] or list(known.values())
    catches = _hunt(hunted, options.most_seeds, options.jobs, options.html)
    wrong = [catch.name for catch in catches if not as_it_should(catch)]
    if options.markdown is not None:
        options.markdown.write_text(markdown(hunted, catches, options.most_seeds), "utf-8")
    caught = len(catches) - len(wrong)
    print(f"{caught} of {len(catches)} as it should be." + _names(wrong))
    return violated if wrong else ok


def as_it_should(catch: Catch) -> bool:
    return (catch.invariant is None) == (catch.name == NOTHING.name)


def _names(wrong: list[str]) -> str:
    return f" Not: {', '.join(wrong)}." if wrong else ""


def _most(mutant: Mutant, most_seeds: int) -> int:
    fixed = {CANARY.name: CANARY_SEEDS, NOTHING.name: QUIET_SEEDS}
    return fixed.get(mutant.name, most_seeds)


def _hunt(mutants: Sequence[Mutant], most_seeds: int, jobs: int, html: Path | None) -> list[Catch]:
    """Hunts the mutants and prints each catch, in order."""
    hunted = [(mutant, _most(mutant, most_seeds)) for mutant in mutants]
    catches: list[Catch] = []
    for catch in hunt_all(hunted, jobs, html):
        catches.append(catch)
        print(f"{catch.name:36} {catch.seeds:>5,}  {_verdict(catch)}", flush=True)
        if not as_it_should(catch) or html is not None:
            print(f"{'':36} {'':5}  {catch.seen}", flush=True)
        if html is not None and catch.invariant is not None:
            print(f"{'':36} {'':5}  {html.absolute()}", flush=True)
    return catches


def _verdict(catch: Catch) -> str:
    if catch.invariant is not None:
        return catch.invariant
    return "not caught, as it should be" if catch.name == NOTHING.name else SURVIVED.upper()


# ------------------------------------------------------------------ the table


def markdown(mutants: Sequence[Mutant], catches: Sequence[Catch], most_seeds: int) -> str:
    """The table of docs/mutants.md, with its introduction."""
    planted = {mutant.name for mutant in MUTANTS}
    seeds = sorted(catch.seeds for catch in catches if catch.name in planted)
    head = HEAD.format(
        most=most_seeds,
        canary=CANARY.name,
        nothing=NOTHING.name,
        quiet=QUIET_SEEDS,
        count=len(seeds),
        median=seeds[len(seeds) // 2] - 1 if seeds else "-",
        last=seeds[-1] - 1 if seeds else "-",
    )
    return head + "".join(
        f"| {mutant.name} | {mutant.what} | {catch.seeds:,} | {_verdict(catch)} |\n"
        for mutant, catch in zip(mutants, catches, strict=True)
    )
