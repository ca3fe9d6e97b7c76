"""Which old file each new one is best made of. Pure."""

__all__ = ["partners"]
