"""The terminal client: the pure session (session/), its driver on a real network (driver.py), the
modes for a terminal (terminal/) and for scripts (scripts.py), and the command (main.py).

It shares the protocol with the node and nothing else.
"""
