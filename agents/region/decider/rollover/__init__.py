"""How a new version goes from pod to pod of a region: which are ordered now, and why the others wait. Pure."""
