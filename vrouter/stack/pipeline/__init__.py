"""The packet's way (`pipeline.Pipeline`)."""

from vrouter.stack.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
