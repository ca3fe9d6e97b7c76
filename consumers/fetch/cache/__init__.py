"""This machine's artifacts: whole ones, and those on their way here."""
