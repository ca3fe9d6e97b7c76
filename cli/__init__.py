"""The command line and composition root: imports everything, imported by nothing."""
