"""A namespace as programs on asyncio see it (`netns.Netns`), one module for each thing that can be asked and told."""

from vrouter.netns.netns import Netns

__all__ = ["Netns"]
