"""A bridge between stations in kernel namespaces: the kernel's, or vrouter's, in the same place and asked the same way.

    [ a ] ── p0 ─┐
    [ b ] ── p1 ─┤ br0 ── the host
    [ c ] ── p2 ─┤
    [ g ] ── p3 ─┘

By p3 the bed knows when all has arrived: a marker follows what a station sent to g, and another one goes from g to all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.tap.switching import BROADCAST, MARKED, MARKER, Bed, Cell, Wire, mac, plain, until, veth
from vrouter.stack.base.addresses import format_mac

ALL = [1, 2, 3]


class Arm:
    """What both arms have."""

    ifname = ""  # of the stations' links

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.cells: list[Cell] = [bed.cell() for _ in range(4)]
        self.wires: list[Wire] = []
        self.number = 0
        self.own: set[bytes] = set()  # addresses of the bridge and the links: what comes from these is their own talk

    def open_wires(self) -> None:
        self.wires = [self.bed.wire(cell, self.ifname) for cell in self.cells]
        until(self.settled, what="all ports forward")
        self.own = {self.mac(name) for name in ("br0", "p0", "p1", "p2", "p3")}
        for cell in self.cells:
            self.own.add(
                bytes.fromhex(json.loads(cell.ip("-j", "link", "show", self.ifname))[0]["address"].replace(":", ""))
            )
        self.send(3)
        for wire in self.wires:
            wire.drain()

    def settled(self) -> bool:
        raise AssertionError

    def rx(self, n: int) -> int:
        """Frames that came in by a port."""
        raise AssertionError

    def send(self, n: int, *frames: bytes, deaf: bool = False, to: tuple[int, ...] = (0, 1, 2, 3)) -> list[int]:
        """Send frames from a station; the ports where they came out, by the frame, each exactly as it was sent.

        `deaf`: the port takes nothing, so no marker of its own comes through. `to`: the ports where g is heard.
        """
        got = self.exchange(n, *frames, deaf=deaf, to=to)
        others = [
            (port, frame.hex(" ", 2)) for port, frame in got if frame not in frames and frame[6:12] not in self.own
        ]
        assert not others, others[:4]
        return [port for frame in frames for port, one in got if one == frame]

    def exchange(
        self, n: int, *frames: bytes, deaf: bool = False, to: tuple[int, ...] = (0, 1, 2, 3)
    ) -> list[tuple[int, bytes]]:
        """Send frames, and all that came out anywhere but markers."""
        self.number += 1
        found: dict[int, list[bytes]] = {port: [] for port in range(4)}
        before = self.rx(n) if deaf else 0
        self.wires[n].send(*frames)
        if deaf:
            until(lambda: self.rx(n) >= before + len(frames), what="the port has seen them")
        elif n != 3:
            first = plain(mac(0xF3), mac(0xF0 + n), f"first {self.number}", MARKER)
            self.wires[n].send(first)
            found[3] += self.wires[3].receive_until(first)
        second = plain(BROADCAST, mac(0xF3), f"second {self.number}", MARKER)
        self.wires[3].send(second)
        for port in to:
            if port != 3:
                found[port] += self.wires[port].receive_until(second)
        for port in range(4):
            if port == 3 or port not in to:
                found[port] += self.wires[port].drain()
        return [(port, frame) for port, got in found.items() for frame in got if frame[12:14] != MARKED]

    def teach(self, *ports: int) -> None:
        """Let the bridge know where the stations at these ports are."""
        for port in ports:
            self.send(port, plain(BROADCAST, mac(port)))

    def set_port(self, n: int, **options: Any) -> None:
        raise AssertionError

    def fdb(self) -> dict[str, str]:
        """Where stations are: MAC address to port, the bridge's own addresses left out."""
        raise AssertionError

    def mac(self, name: str) -> bytes:
        """The address of the bridge or a port."""
        raise AssertionError

    def knows(self, address: bytes) -> str:
        """The port behind which a station is, or nothing."""
        return self.fdb().get(format_mac(address), "")


class KernelArm(Arm):
    """Linux's bridge, between pairs of veth."""

    ifname = "k"

    def __init__(self, bed: Bed, **options: str) -> None:
        super().__init__(bed)
        self.cell = bed.cell()
        words = [word for key, value in options.items() for word in (key, value)]
        self.cell.ip("link", "add", "br0", "type", "bridge", *words)
        self.cell.ip("link", "set", "br0", "up")
        for n, cell in enumerate(self.cells):
            veth(self.cell, f"p{n}", cell, self.ifname)
            self.cell.ip("link", "set", f"p{n}", "master", "br0")
        self.open_wires()

    def states(self) -> dict[str, str]:
        return {row["ifname"]: row["state"] for row in json.loads(self.cell.bridge("-j", "link", "show"))}

    def settled(self) -> bool:
        return list(self.states().values()) == ["forwarding"] * 4

    def rx(self, n: int) -> int:
        rows = json.loads(self.cell.ip("-j", "-s", "link", "show", f"p{n}"))
        return int(rows[0]["stats64"]["rx"]["packets"])

    def set_port(self, n: int, **options: Any) -> None:
        states = {"disabled": "0", "learning": "2", "forwarding": "3", "blocking": "4"}
        for key, value in options.items():
            word = states[value] if key == "state" else "on" if value else "off"
            self.cell.bridge("link", "set", "dev", f"p{n}", key, word)

    def set_ageing(self, seconds: int) -> None:
        self.cell.ip("link", "set", "br0", "type", "bridge", "ageing_time", str(100 * seconds))

    def set_mtu(self, n: int, mtu: int) -> None:
        self.cell.ip("link", "set", f"p{n}", "mtu", str(mtu))

    def set_up(self, n: int, up: bool) -> None:
        self.cell.ip("link", "set", f"p{n}", "up" if up else "down")

    def mtu(self) -> int:
        return int(json.loads(self.cell.ip("-j", "link", "show", "br0"))[0]["mtu"])

    def mac(self, name: str) -> bytes:
        return bytes.fromhex(json.loads(self.cell.ip("-j", "link", "show", name))[0]["address"].replace(":", ""))

    def add_address(self, text: str) -> None:
        self.cell.ip("address", "add", text, "dev", "br0")

    def fdb_add(self, address: bytes, n: int) -> None:
        self.cell.bridge("fdb", "add", format_mac(address), "dev", f"p{n}", "master", "static")

    def fdb_del(self, address: bytes, n: int) -> None:
        self.cell.bridge("fdb", "del", format_mac(address), "dev", f"p{n}", "master")

    def fdb(self) -> dict[str, str]:
        rows = json.loads(self.cell.bridge("-j", "fdb", "show", "br", "br0"))
        return {row["mac"]: row["ifname"] for row in rows if row.get("state") != "permanent" and "master" in row}


class VrouterArm(Arm):
    """vrouter's bridge, its ports TAPs."""

    ifname = "v"

    def __init__(self, bed: Bed, port: dict[str, Any] | None = None, **options: Any) -> None:
        """`options` are the bridge's, `port` those of each port."""
        super().__init__(bed)
        self.ns = bed.netns("r")
        bed.on_loop(lambda: self.ns.sysctl.__setitem__("net.ipv6.conf.default.disable_ipv6", 1))
        self.dev = bed.call(self.ns.add_device, "br0", kind="bridge")
        if options:
            bed.call(self.ns.set_bridge, "br0", **options)
        self.devices = []
        for n, cell in enumerate(self.cells):
            self.devices.append(bed.tap(self.ns, f"p{n}", cell, self.ifname))
            bed.call(self.ns.set_port, f"p{n}", bridge="br0", **(port or {}))
        self.open_wires()

    def settled(self) -> bool:
        return [row["state"] for row in self.bed.on_loop(self.ns.ports)] == ["forwarding"] * 4

    def rx(self, n: int) -> int:
        return self.bed.on_loop(lambda: self.devices[n].rx_packets)

    def set_port(self, n: int, **options: Any) -> None:
        self.bed.call(self.ns.set_port, f"p{n}", **options)

    def set_ageing(self, seconds: int) -> None:
        self.bed.call(self.ns.set_bridge, "br0", ageing_time=seconds)

    def set_mtu(self, n: int, mtu: int) -> None:
        self.bed.call(self.ns.set_device, f"p{n}", mtu=mtu)

    def set_up(self, n: int, up: bool) -> None:
        self.bed.call(self.ns.set_device, f"p{n}", up=up)

    def mtu(self) -> int:
        return self.bed.on_loop(lambda: self.dev.mtu)

    def mac(self, name: str) -> bytes:
        return self.bed.on_loop(lambda: self.ns.device(name).mac)

    def add_address(self, text: str) -> None:
        self.bed.call(self.ns.add_address, "br0", text)

    def fdb_add(self, address: bytes, n: int) -> None:
        self.bed.call(self.ns.fdb_add, "br0", address, f"p{n}")

    def fdb_del(self, address: bytes, n: int) -> None:
        self.bed.call(self.ns.fdb_del, "br0", address)

    def fdb(self) -> dict[str, str]:
        rows = self.bed.on_loop(self.ns.fdb)
        return {row["mac"]: row["dev"] for row in rows if row["state"] != "permanent"}

    def drops(self) -> dict[str, int]:
        return self.bed.drops(self.ns)


ARMS: dict[str, Callable[..., Any]] = {"kernel": KernelArm, "vrouter": VrouterArm}
