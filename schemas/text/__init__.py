"""Text from people and from elsewhere: read, or made harmless for a terminal."""

__all__ = ["amounts", "printable", "tokens"]
