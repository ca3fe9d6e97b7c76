"""What is shown, as values: pure, `now` is passed in."""
