"""The process that loads a model and answers for it, and the channel to it."""
