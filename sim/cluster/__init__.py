"""The simulated machines: clock, network, store, bus, nodes, devices. The cores in them are the
real ones. What a fault or a checker is for is not known here."""
