"""What a node knows: its sessions, users, conversations, rate limits and deadlines, and the
context in which one event is handled. No module in here asks the store or sends anything."""
