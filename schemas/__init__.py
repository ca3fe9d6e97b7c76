"""The language that every part of Modelcast speaks: pure values, no I/O."""
