"""Switches: stations that carry frames from wire to wire by a bridge device of the stack, spanning tree included.

::

    def test_a_ring(lab):
        s1, s2, s3 = (lab.switch(name) for name in ("s1", "s2", "s3"))
        for one, two in ((s1, s2), (s2, s3), (s3, s1)):
            lab.wire(one, two)
        a, b = lab.host("a"), lab.host("b")
        lab.wire(a, s1)
        lab.wire(b, s3)
        lab.run_for(1)                                  # RSTP has blocked one of the ring's wires
        assert a.ping(b) == 0

Ports to switches and hubs take part in the spanning tree from the start, those to other stations forward at once (edge
ports). All stations on switches that are wired together share one IP network (one each per VLAN), so wire the switches
to each other first. What they say of VLANs is told at `Lab.wire`. A switch speaks no IP until its bridge device ``br0``
is given addresses (of IPv6: once ``net.ipv6.conf.br0.disable_ipv6`` is 0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.testing.node import Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns
    from vrouter.testing.lab import Lab
    from vrouter.testing.node import Machine, Recorder

BRIDGE: Final = "br0"


class Network:
    """An IP network that several stations share: the lab's number of it, and the next host's."""

    __slots__ = ("number", "taken")

    def __init__(self, number: int) -> None:
        self.number = number
        self.taken = 0

    def next_host(self) -> int:
        """The number of one more host."""
        self.taken += 1
        return self.taken


class Switch(Node):
    """A node whose devices are ports of one bridge; made by `Lab.switch`."""

    def __init__(self, lab: Lab, name: str, machine: Machine, ns: Netns) -> None:
        super().__init__(lab, name, machine, ns)
        self.networks: dict[int, Network] = {}  # by VLAN id; 0: of wires that name none
        ns.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1
        self.bridge: Device = ns.add_device(BRIDGE, kind="bridge", now=lab.now)

    def __repr__(self) -> str:
        return f"<Switch {self.name} of {len(self.ends)} wires>"

    def set_bridge(self, **options: Any) -> None:
        """Change parameters of the bridge, as `vrouter.stack.netns.Netns.set_bridge` takes them."""
        self.ns.set_bridge(self.bridge, now=self.lab.now, **options)
        self.lab.collect()

    def set_port(self, towards: Recorder | str, **options: Any) -> None:
        """Change what the port towards another station does, as `vrouter.stack.netns.Netns.set_port` takes it."""
        self.ns.set_port(self.device_towards(towards), now=self.lab.now, **options)
        self.lab.collect()

    def attach(self, dev: Device, vlan: int, tagged: Sequence[int], *, edge: bool) -> None:
        """Make a device a port; with `vlan` that VLAN passes without its tag, those `tagged` with theirs.

        An `edge` port forwards at once: no switch is expected behind it (IEEE 802.1D 17.3).
        """
        options: dict[str, Any] = {"edge": True} if edge else {}
        if vlan or tagged:
            self.ns.set_bridge(self.bridge, vlan_filtering=True, now=self.lab.now)
        if vlan:
            options |= {"pvid": vlan, "untagged": [vlan]}
        if tagged:
            options["tagged"] = list(tagged)
        self.ns.set_port(dev, bridge=BRIDGE, now=self.lab.now, **options)

    def learnt(self, vlan: int = 0) -> dict[str, str]:
        """Where its bridge has learnt which MAC address in a VLAN (0: without VLANs): names of devices by address."""
        rows = [row for row in self.ns.fdb() if row["state"] == "dynamic" and row["vlan"] == vlan]
        return {row["mac"]: row["dev"] for row in rows}

    def port_states(self) -> dict[str, str]:
        """What each port does (forwarding, learning, blocking, disabled), by device name."""
        return {row["dev"]: row["state"] for row in self.ns.ports()}
