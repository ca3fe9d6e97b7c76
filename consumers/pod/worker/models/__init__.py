"""What a worker serves: which files of an artifact, by which runtime, spoken to in V2 requests."""
