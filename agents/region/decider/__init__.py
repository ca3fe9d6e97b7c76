"""What the owner of one model in one region knows and decides: pure, no I/O, ``now`` is passed in."""
