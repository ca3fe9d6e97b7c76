"""Which version answers a request while a new one earns its traffic, and what was counted of each."""
