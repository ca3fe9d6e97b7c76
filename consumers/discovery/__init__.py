"""How a region learns which pods it has: a port with a source each for files, registrations, DNS and Kubernetes."""

__all__ = ["configured", "decider", "registrar", "watching"]
