"""Where the tensors of a file lie, and of which type they are."""
