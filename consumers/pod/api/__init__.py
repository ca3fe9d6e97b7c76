"""The pod over HTTP: what a path asks for, routes, inference."""
