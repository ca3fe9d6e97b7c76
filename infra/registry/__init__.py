"""The registry log in the origin store: reading it, claiming its next entry, the schemas beside it."""
