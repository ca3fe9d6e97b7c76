"""What a region uses to drive serving pods: the port, and the adapter that speaks the Open Inference Protocol."""

__all__ = ["port", "traffic", "v2"]
