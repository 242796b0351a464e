"""The client's side of the protocol, pure: events in, effects out. No sockets, no screen."""
