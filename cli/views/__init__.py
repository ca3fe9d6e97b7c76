"""Commands that show something, and what they show it with."""
