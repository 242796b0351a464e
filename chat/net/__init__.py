"""The node on a real network: sockets, the driver that runs the core, password hashing, recording.
No decision is made here."""
