"""The servers that a companion can drive, each an ``Engine``."""
