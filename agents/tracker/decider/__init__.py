"""What the tracker decides: from records and rows to who serves what. Pure: no I/O, `now` is passed in."""
