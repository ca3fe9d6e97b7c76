"""One fetch, from the manifest to the artifact in the cache."""
