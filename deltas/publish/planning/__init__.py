"""Which deltas to make and when, decided on values alone: no module in this folder does I/O."""
