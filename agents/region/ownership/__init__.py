"""Who owns a model in a region, and whether this worker may take it from another."""
