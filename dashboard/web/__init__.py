"""HTTP: the API, the event stream, the pages."""
