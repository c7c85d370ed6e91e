"""How fast this machine is: a measured copy, and a small measured decode per type of weights."""
