"""Reports of regions on their way in: overtaken, set aside until they are proved true, folded."""
