"""The truth: transactions over SQL tables, the group commit, and the threads that run them."""
