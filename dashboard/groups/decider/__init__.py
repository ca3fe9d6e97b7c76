"""What consumer groups have read, as one look finds it and as several are judged. Pure."""
