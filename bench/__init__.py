"""The load generator: what the chat server does a second, and what it costs."""
