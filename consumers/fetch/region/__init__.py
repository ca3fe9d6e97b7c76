"""The region's own bucket: what it has, what enters it, and who of the region reads from the origin."""
