"""Which orders a pod obeys: read from a request, judged by what it has accepted, kept on disk."""
