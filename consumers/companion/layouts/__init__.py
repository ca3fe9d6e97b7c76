"""How an artifact lies in the model repository of each kind of server: pure functions of its manifest and hints."""
