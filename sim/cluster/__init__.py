"""The simulated machines: clock, network, store, bus, balancer, nodes, devices.

Nodes, client sessions and transactions are the real ones. Injection points and fault switches are
here, because they are places in these machines. No fault is chosen and nothing is checked here: a
cluster reports what happens to the observers it is given.
"""
