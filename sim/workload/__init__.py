"""What people and hostile peers do in a run."""
