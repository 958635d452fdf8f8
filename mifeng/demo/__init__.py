"""The demonstration: a gateway and two nodes on this machine, real input, simulated silicon."""
