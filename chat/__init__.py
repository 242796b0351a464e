"""A chat server whose delivery is a cursor on a log: see ARCHITECTURE.md.

cli.py, options.py and workers.py are the composition root: they make the parts and connect them.
They decide nothing about users, conversations or delivery.
"""

__version__ = "0.1.0"
