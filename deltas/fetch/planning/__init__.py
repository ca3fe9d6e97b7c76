"""Which ways there are, what they cost, which is taken and why. Pure."""
