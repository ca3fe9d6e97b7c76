"""Fewer bytes over the long link: the delta codec, which deltas to make, and which way a file takes. Optional."""
