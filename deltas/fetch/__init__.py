"""Deltas instead of whole files: which way a file takes over the long link, and how it is rebuilt.

``accelerator.plug`` is what the road finds by its entry point; the rest needs no codec.
"""

__all__ = ["chooser", "planning"]
