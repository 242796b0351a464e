"""What a run is told as: coverage, summary, the shortest failing plan, the diagram."""
