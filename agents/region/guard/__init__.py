"""Whether a candidate harms a region's own pods: judged here each second, acted upon without asking anybody. Pure."""

__all__ = ["judge"]
