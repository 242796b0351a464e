"""A chat server whose delivery is a cursor on a log: see ARCHITECTURE.md."""

__version__ = "0.1.0"
