"""A namespace: one complete instance of the stack (`netns.Netns`)."""

from vrouter.stack.netns.netns import LO_ADDRESS, Netns

__all__ = ["LO_ADDRESS", "Netns"]
