"""What is recorded of what the tracker reports, and when a generation is over. Pure."""
