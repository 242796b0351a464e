"""The bus between nodes: wake-up hints and the presence directory. It decides nothing; whatever it
loses is found again by the core's anti-entropy."""
