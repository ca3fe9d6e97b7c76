"""What publishing and commanding come to, decided on values alone: no module in this folder does I/O."""
