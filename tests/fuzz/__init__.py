"""Lines that no good peer sends, by the thousand.

    python -m tests.fuzz --lines 1000000 [--seed N]

`lines.py` makes them: from the messages of the spec with each field valid, at a bound, wrong,
missing, repeated or nested; from a small corpus (corpus/) by mutation; and at random. `targets.py`
has what they are fed to, and what must hold. The suite runs 20,000 of them, with a fixed seed.
"""
