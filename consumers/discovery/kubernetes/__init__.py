"""A fleet's pods as Kubernetes knows them: the EndpointSlices of a Service, listed and watched."""
