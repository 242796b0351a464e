"""What goes wrong in a run: drawn from the seed, injected at points of a text's way."""
