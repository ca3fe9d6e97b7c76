"""``modelcast doctor``: one module a kind of check. Looking goes through small Protocols; judging is pure."""

__all__ = ["command"]
