"""Entries from the log to connections. Every entry that reaches a connection goes through here."""
