"""Work on a peer's bytes is linear in them, and bounded for a line.

Every parser (parsers.py) and every pattern (found in the modules and in the generated types) gets
inputs that are hard for scanners that look at a byte more than once (families.py). How the work
grows with the input is measured in two ways (measure.py), and that the measurement finds parsers
that are not linear is tested, too.
"""
