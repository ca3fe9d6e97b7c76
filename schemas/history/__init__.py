"""What regions served when: archived changes as values, and what they answer. Pure."""

__all__ = ["difference", "lanes", "segments", "timeline", "wanted"]
