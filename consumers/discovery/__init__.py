"""How a region learns which pods it has: a port with a source each for files, leases, DNS and Kubernetes."""

__all__ = ["configured", "leases", "merging", "port", "registration", "watching"]
