"""What the controller decides, as pure functions of what it was told."""
