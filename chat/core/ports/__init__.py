"""What goes into the core and comes out of it: events, effects, store operations, bus messages.
Plain data, without behaviour."""
