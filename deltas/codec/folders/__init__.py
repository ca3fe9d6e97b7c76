"""Deltas between folders: an index over deltas between files."""
