"""`python -m sim`: see sim/cli.py."""

import sys

from sim.cli import main

if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        code = 130
    raise SystemExit(code)
