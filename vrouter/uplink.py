"""A TAP of the router together with its kernel's end: opened, set up, opened again, and taken down.

Everything here blocks, so it runs in threads; `appliance` says when.

Expects: the device's configuration, and the link group of this router's TAPs (`kernel.new_group`).
Sets:    the interface, and what `host = {…}` asks of the kernel's end.
Next:    `driver` moves its frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter import kernel
from vrouter.tap import GONE_STATE, Tap, close_taps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vrouter.config.records import DeviceConfig
    from vrouter.kernel import HostEnd


class Uplink:
    """One TAP with its kernel's end."""

    __slots__ = ("config", "end", "group", "tap")

    def __init__(self, config: DeviceConfig, group: int) -> None:
        self.config = config
        self.group = group
        self.tap: Tap | None = None
        self.end: HostEnd | None = None

    @property
    def gone(self) -> bool:
        """Whether there is no link to pass frames to."""
        return self.tap is None or self.tap.state == GONE_STATE

    def open(self) -> None:
        """Open the TAP and set up its kernel's end; blocks. PrivilegeError, OSError; then nothing is left open."""
        assert self.config.ifname is not None
        self.tap = Tap(self.config.ifname, offload=self.config.offload)
        self._set_up(self.tap)

    def reopen(self) -> None:
        """The same after the link was deleted; blocks."""
        assert self.tap is not None
        self.tap.reopen()
        self._set_up(self.tap)

    def _set_up(self, tap: Tap) -> None:
        group = self.group if tap.created else 0
        try:
            self.end = kernel.setup_host_end(tap.ifname, self.config.host, mtu=self.config.mtu, group=group)
        except BaseException:
            tap.close()
            raise


def take_down(uplinks: Sequence[Uplink]) -> list[str]:
    """Take down kernel's ends and TAPs; what could not be removed. Blocks, for many not much longer than for one."""
    problems = kernel.remove_host_ends([uplink.end for uplink in uplinks if uplink.end is not None])
    close_taps([uplink.tap for uplink in uplinks if uplink.tap is not None])
    return problems
