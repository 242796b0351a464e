"""Faults: which kinds a run has, when they are injected, and what each of them does."""
