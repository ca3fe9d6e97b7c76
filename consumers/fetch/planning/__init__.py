"""What to bring and in which parts, and what the link is expected to carry. Pure."""
