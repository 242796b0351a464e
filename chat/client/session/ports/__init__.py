"""What goes into a client session and what comes out of it: events, effects and notices, plain data
as in chat/core/ports. Nothing here decides anything."""
