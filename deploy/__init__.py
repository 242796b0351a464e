"""Starting a cluster on one machine, and what others deploy."""
