"""Faults: the kinds of faults of a run, their times, and the injection of each.

Nothing here checks a result, and every choice is drawn from the seed.
"""
