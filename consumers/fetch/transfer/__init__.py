"""Bytes from a store into a file: ranged, verified, resumed, limited."""
