"""The registry log: what an entry does to what regions should serve. Pure."""
