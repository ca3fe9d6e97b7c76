"""Grouping, entropy coding and planes of bytes: what touches every value, in numpy or compiled."""
