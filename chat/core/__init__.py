"""The node, pure: events in, effects out. No IO, clock, randomness, logging or asyncio in here."""
