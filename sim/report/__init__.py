"""What is reported of runs: coverage, summary, the smallest failing plan, the diagram."""
