"""What is known of fleets and pods by the answers of their sources. Pure."""
