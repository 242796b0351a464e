"""`python -m tests.fuzz`: see the package."""

import argparse
import sys
import time

from tests.fuzz.run import TARGETS, fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="a new one")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    for name in TARGETS:
        start_s = time.monotonic()
        count = fuzz(name, options.lines, options.seed)
        print(f"{name:16} {count:>9,} lines in {time.monotonic() - start_s:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
