"""vrouter: a userspace virtual router with network namespaces, on real TAP devices, in one asyncio process."""

__version__ = "0.1.0"
