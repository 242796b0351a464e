"""Load on a cluster: what users do, drawn scenarios, and an adversary who breaks the protocol."""
