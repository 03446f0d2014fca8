"""A script's events against a namespace, in virtual time.

What the namespace sends is expected in the order of the script. Segments of a superframe and superframes are alike: a
script's packet may have come in several, and one may stand for several of the script's (unless the script has
``--strict_segments``).
"""

from __future__ import annotations

import dataclasses
import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vrouter.stack.base.addresses import V6, parse_address
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp.info import of_socket
from vrouter.stack.wire import tcp as wire
from vrouter.testing.packetdrill import segments
from vrouter.testing.packetdrill.calls import Calls, Mismatch
from vrouter.testing.packetdrill.commands import Commands
from vrouter.testing.packetdrill.parser import integer, parse
from vrouter.testing.packetdrill.script import (
    ELLIPSIS,
    Call,
    Code,
    Command,
    Event,
    IcmpPacket,
    LinuxOnly,
    Script,
    ScriptError,
    TcpPacket,
    When,
    Word,
)
from vrouter.testing.packetdrill.symbols import TCP_INFO, CodeError, errno_name, errno_of, run_code
from vrouter.testing.packetdrill.world import BEGIN, VERSIONS, Settings, World

_SECOND: Final = 1_000_000_000
_LONG: Final = 3600 * _SECOND
_PSH_FIN: Final = wire.PSH | wire.FIN
_MASK: Final = 0xFFFFFFFF
_MAX_MTU: Final = 65521
_NUMBERS: Final = {"tolerance_usecs": ("tolerance", 1000), "tcp_ts_tick_usecs": ("tick", 1000), "mtu": ("mtu", 1)}
_ECN_BITS: Final = {"noecn": (0,), "ect1": (1,), "ect0": (2,), "ce": (3,), "ect01": (1, 2)}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a script: ``passed``, ``failed``, ``linux only`` or ``unreadable``; where and why."""

    name: str
    outcome: str
    line: int = 0
    text: str = ""
    seconds: float = 0.0  # of the script's time
    printed: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether every event was as the script says."""
        return self.outcome == "passed"

    def __str__(self) -> str:
        where = f":{self.line}" if self.line else ""
        return f"{self.name}{where}: {self.outcome}" + (f": {self.text}" if self.text else "")


class _Failed(Exception):
    pass


def run_file(path: str | Path, settings: Settings | None = None) -> Result:
    """Run the script in a file. OSError when it cannot be read."""
    path = Path(path)
    return run_text(path.read_text(encoding="utf-8", errors="replace"), str(path), path.parent, settings)


def run_text(text: str, name: str = "<script>", folder: Path | None = None, settings: Settings | None = None) -> Result:
    """Run a script. Files that it names stand in `folder`. Whatever the script is, nothing is raised."""
    settings = settings or Settings()
    try:
        script = parse(text, name, settings.defines)
        runner = Runner(script, folder or Path(), settings)
    except ScriptError as error:
        return Result(name, "unreadable", error.line, error.text)
    except RecursionError:
        return Result(name, "unreadable", 0, "values inside values, too deep")
    except LinuxOnly as error:
        return Result(name, "linux only", 0, str(error))
    return runner.run()


class Runner:
    """One run of one script."""

    def __init__(self, script: Script, folder: Path, settings: Settings) -> None:
        self._script = script
        self._folder = folder
        self._settings = _with_options(script, settings)
        self._printed: list[str] = []
        self._line = 0
        self._last = 0  # the script's time of the last event, ns
        self._flows: list[segments.Flow] = []
        self._flow: segments.Flow | None = None
        self._pending: tuple[Event, Call, int, int] | None = None  # a call that blocks, and when it is to return
        self._done: int | OSError | None = None  # what it has returned, and when
        self._done_at = 0
        self._counters: list[int] = []  # as they were when `nstat` was called last

    def run(self) -> Result:
        """Everything, to the first thing that is not as the script says."""
        outcome, text = "passed", ""
        world = None
        try:
            commands = Commands(self._folder)
            for command in self._script.setup:
                commands.read(command.text)
            settings = dataclasses.replace(self._settings, sysctls={**self._settings.sysctls, **commands.sysctls})
            world = self._world = World(settings)
            self._calls = Calls(world)
            self._carry_out(commands)
            for event in self._script.events:
                self._line = event.line
                self._event(event)
            if self._pending is not None:
                self._line = self._pending[0].line
                self._finish_call()
        except LinuxOnly as error:
            outcome, text = "linux only", str(error)
        except (_Failed, Mismatch, CodeError) as error:
            outcome, text = "failed", str(error)
        except OSError as error:  # of a setting, or of an address that cannot be
            outcome, text = "unreadable", error.strerror or str(error)
        seconds = 0.0 if world is None else (world.now - BEGIN) / _SECOND
        line = self._line if outcome != "passed" else 0
        return Result(self._script.name, outcome, line, text, seconds, tuple(self._printed))

    # -- time -------------------------------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        time, action = event.time, event.action
        base = self._last if time.when is When.RELATIVE else 0
        at = base + time.at
        until = base + time.until if time.until >= 0 else at
        if isinstance(action, TcpPacket | IcmpPacket) and not action.inbound:
            live = self._expect(action, at, until, time.when is When.ANY)
            self._last = live.at - BEGIN if time.when is When.ANY else at
            return
        if time.when is When.ANY:
            at = until = self._world.now - BEGIN
        self._last = at
        self._advance(BEGIN + at)
        if isinstance(action, Call):
            if self._pending is not None:
                self._finish_call()
            self._call(event, action, until, time.until >= 0)
        elif isinstance(action, TcpPacket):
            self._inbound(action)
        elif isinstance(action, IcmpPacket):
            if self._flow is None:
                raise _Failed("there is no connection that an ICMP error could be about")
            self._world.inject(segments.build_icmp(action, self._flow))
        elif isinstance(action, Code):
            run_code(action.text, self._names(), self._printed)
        else:
            self._command(action)
        self._retry()

    def _advance(self, until: int) -> None:
        self._world.advance(until, self._step)

    def _step(self) -> bool:
        self._retry()
        return False

    def _tolerance(self, at: int) -> int:
        """How far from its time something may happen: a part of what has passed since the event before, or more."""
        passed = abs(at - self._last)
        return max(self._settings.tolerance, int(passed * self._settings.tolerance_percent / 100))

    # -- calls ------------------------------------------------------------------------------------------------------

    def _call(self, event: Event, call: Call, until: int, ranged: bool) -> None:
        if call.errno == "EFAULT" or Word("NULL") in call.arguments:
            raise LinuxOnly("pointers to no memory")
        if call.name == "socket":
            self._flow = None  # from now on packets are of this one
        patient = self._calls.blocks(call)
        try:
            result: int | OSError = self._calls.attempt(call, patient)
        except BlockingIOError as error:
            if not patient or error.errno not in (errno.EAGAIN, 0):
                self._compare(call, error)
                return
            self._pending = (event, call, until, self._last)
            self._done = None
            return
        except OSError as error:
            result = error
        if ranged and until > self._last + self._settings.tolerance and not self._fits(until):
            raise _Failed(f"{call.name} returned at once, not {(until - self._last) / _SECOND:g} s later")
        self._compare(call, result)

    def _fits(self, until: int) -> bool:
        return self._world.now - BEGIN >= until - self._settings.tolerance

    def _retry(self) -> None:
        """Try a call that blocks again."""
        self._calls.note(self._world.ready)
        if self._pending is None or self._done is not None:
            return
        call = self._pending[1]
        try:
            self._done = self._calls.attempt(call, True)
        except BlockingIOError as error:
            if error.errno == errno.EAGAIN:
                return
            self._done = error
        except OSError as error:
            self._done = error
        self._done_at = self._world.now - BEGIN
        if self._world.now - BEGIN <= self._pending[2] + self._settings.tolerance:
            _, call, until, _ = self._pending
            self._pending, result, self._done = None, self._done, None
            self._check_return(call, until, result)

    def _check_return(self, call: Call, until: int, result: int | OSError) -> None:
        tolerance = max(self._settings.tolerance, int(abs(until - self._last) * self._settings.tolerance_percent / 100))
        if abs(self._done_at - until) > tolerance:
            raise _Failed(f"{call.name} returned at {self._done_at / _SECOND:.6f} s, not at {until / _SECOND:.6f} s")
        self._compare(call, result)

    def _finish_call(self) -> None:
        """Wait for the call that blocks."""
        assert self._pending is not None
        _, call, until, _ = self._pending
        limit = BEGIN + until + self._tolerance(until)
        self._world.advance(limit, self._returned)
        if self._pending is not None:
            if self._done is None:
                raise _Failed(f"{call.name} blocks still at {(self._world.now - BEGIN) / _SECOND:.6f} s")
            self._pending = None
            self._check_return(call, until, self._done)

    def _returned(self) -> bool:
        self._retry()
        return self._pending is None

    def _compare(self, call: Call, result: int | OSError) -> None:
        wanted = call.result
        if isinstance(result, OSError):
            code = result.errno or 0
            if wanted != -1 or (call.errno and errno_of(call.errno) != code):
                raise _Failed(f"{call.name} fails with {errno_name(code)}, and is to be {_wanted(call)}")
            return
        if wanted is ELLIPSIS:
            return
        if result != wanted:
            raise _Failed(f"{call.name} returns {result}, and is to be {_wanted(call)}")

    # -- packets ----------------------------------------------------------------------------------------------------

    def _inbound(self, packet: TcpPacket) -> None:
        calls = self._calls
        if self._flow is None or calls.listening:
            self._new_flow()
            calls.listening = False
            calls.under_test = None
        assert self._flow is not None
        self._world.inject(segments.build(packet, self._flow, self._world.cookies()))

    def _new_flow(self) -> None:
        self._flow = self._world.flow(len(self._flows))
        self._flows.append(self._flow)

    def _expect(self, packet: TcpPacket | IcmpPacket, at: int, until: int, whenever: bool) -> segments.Live:
        if isinstance(packet, IcmpPacket):
            raise LinuxOnly("ICMP errors that are expected")
        world = self._world
        limit = BEGIN + (world.now - BEGIN + _LONG if whenever else until + self._tolerance(until))
        live = self._gather(packet, limit)
        if not whenever:
            tolerance = self._tolerance(at)
            if not at - tolerance <= live.at - BEGIN <= until + self._tolerance(until):
                raise _Failed(f"sent at {(live.at - BEGIN) / _SECOND:.6f} s: {self._shown(live)}")
        self._compare_packet(packet, live)
        return live

    def _take(self, limit: int) -> segments.Live:
        """The next packet that the namespace sends."""
        world = self._world

        def sent() -> bool:
            self._retry()
            return bool(world.packets)

        while True:
            if not world.packets and not world.advance(limit, sent):
                raise _Failed(f"nothing was sent until {(limit - BEGIN) / _SECOND:.6f} s")
            live = world.packets.pop(0)
            if not self._is_foreign(live):
                return live

    def _is_foreign(self, live: segments.Live) -> bool:
        """Whether a packet is of a connection that the script no longer speaks of."""
        if self._flow is not None:
            return (live.sport, live.dport) != (self._flow.port, self._flow.remote_port)
        sock = self._calls.under_test
        return sock is not None and sock.port != 0 and not self._calls.listening and live.sport != sock.port

    def _gather(self, packet: TcpPacket, limit: int) -> segments.Live:
        """What came for a script's packet: cut to its size, or put together to it."""
        live = self._take(limit)
        self._find_flow(packet, live)
        if self._settings.strict_segments or packet.length == live.payload or not live.payload:
            return live
        if live.payload > packet.length > 0:
            rest = dataclasses.replace(
                live, seq=(live.seq + packet.length) & _MASK, payload=live.payload - packet.length
            )
            self._world.packets.insert(0, rest)
            return dataclasses.replace(
                live, payload=packet.length, flags=live.flags & ~_PSH_FIN | _pushed(packet, live)
            )
        while live.payload < packet.length:
            more = self._take(limit)
            if more.seq != (live.seq + live.payload) & _MASK or more.ack != live.ack or more.options != live.options:
                self._world.packets.insert(0, more)
                break
            live = dataclasses.replace(live, payload=live.payload + more.payload, flags=more.flags)
            if live.payload > packet.length:
                extra = live.payload - packet.length
                rest = dataclasses.replace(more, seq=(more.seq + more.payload - extra) & _MASK, payload=extra)
                self._world.packets.insert(0, rest)
                flags = live.flags & ~_PSH_FIN | _pushed(packet, live)
                live = dataclasses.replace(live, payload=packet.length, flags=flags)
        return live

    def _find_flow(self, packet: TcpPacket, live: segments.Live) -> None:
        """The connection of a packet: one that is known, or a new one that the namespace begins."""
        ports = live.sport, live.dport
        found = next((flow for flow in self._flows if (flow.port, flow.remote_port) == ports), None)
        if found is None:
            self._new_flow()
            found = self._flow
            assert found is not None
            found.port, found.remote_port = ports
        self._flow = found
        if found.offset is None:
            if live.flags & wire.SYN:
                found.offset, found.written = live.seq, packet.seq
            else:
                found.offset = (live.seq - packet.seq) & _MASK

    def _compare_packet(self, packet: TcpPacket, live: segments.Live) -> None:
        flow = self._flow
        assert flow is not None
        assert flow.offset is not None
        problem = ""
        if live.flags != segments.flags_of(packet.flags):
            problem = "flags"
        elif (live.seq - flow.offset + (flow.written if live.flags & wire.SYN else 0) - packet.seq) & _MASK:
            problem = "sequence number"
        elif live.payload != packet.length:
            problem = "length"
        elif packet.ack >= 0 and live.ack != (packet.ack + (0 if live.flags & wire.SYN else flow.base)) & _MASK:
            problem = "acknowledgement"
        elif packet.window >= 0 and live.window != packet.window:
            problem = "window"
        elif live.urgent != packet.urgent:
            problem = "urgent pointer"
        elif packet.ecn and live.ecn not in _ECN_BITS[packet.ecn]:
            problem = "ECN"
        elif packet.options is not None:
            problem = segments.compare_options(packet.options, live, flow, self._world.cookies())
            if not problem and self._settings.tick:
                problem = self._compare_ticks(packet, live, flow)
        if problem:
            raise _Failed(f"{problem}: sent was {self._shown(live)}")

    def _compare_ticks(self, packet: TcpPacket, live: segments.Live, flow: segments.Flow) -> str:
        written = next((option.values[0] for option in packet.options or () if option.kind == "TS"), None)
        if written is None or flow.first_stamp is None:
            return ""
        passed = (flow.stamps[written] - flow.first_stamp[1]) & _MASK
        wanted = (written - flow.first_stamp[0]) & _MASK
        slack = self._settings.tolerance // self._settings.tick + 1
        return "" if abs(passed - wanted) <= slack else f"timestamp moved by {passed}, not {wanted}"

    def _shown(self, live: segments.Live) -> str:
        flow = self._flow
        return live.text(0, 0) if flow is None else live.text(flow.offset or 0, flow.base)

    # -- code and commands ------------------------------------------------------------------------------------------

    def _names(self) -> dict[str, int]:
        sock = self._socket_under_test()
        names = dict(TCP_INFO)
        if sock is not None:
            names.update(of_socket(sock, self._world.now))
        return names

    def _socket_under_test(self) -> Any:
        calls = self._calls
        if calls.under_test is not None:
            return calls.under_test
        files = [file.sock for file in calls.files.values() if file.sock is not None]
        return files[-1] if files else None

    def _command(self, command: Command) -> None:
        commands = Commands(self._folder)
        commands.read(command.text)
        for name, value in commands.sysctls.items():
            self._world.ns.sysctl[name] = value
        self._carry_out(commands)

    def _carry_out(self, commands: Commands) -> None:
        """What commands say beside settings."""
        world = self._world
        if not commands.offload:
            world.device.offload = False
        if commands.forgets:
            world.ns.tcp_state.metrics.clear()
        if commands.paced is not None:
            world.paced = commands.paced
        for name in commands.counters:
            if name:
                self._check_moved(name)
            self._counters = list(world.ns.stats)

    def _check_moved(self, name: str) -> None:
        """nstat(8) shows a counter when it has moved since it was called before."""
        known = Stat.__members__
        stat = known.get(name.replace("TcpExt", "Tcp", 1)) or known.get(name.removeprefix("TcpExt"))
        if stat is None:
            raise LinuxOnly(f"the counter {name}")
        if self._world.ns.stats[stat] == (self._counters[stat] if self._counters else 0):
            raise _Failed(f"{name} has not moved")


def _pushed(packet: TcpPacket, live: segments.Live) -> int:
    """PSH of a piece that is not the last of what was sent: as the script has it, since nobody has sent it so."""
    return live.flags & segments.flags_of(packet.flags) & wire.PSH


def _wanted(call: Call) -> str:
    return f"{call.result} {call.errno}".strip()


def _with_options(script: Script, settings: Settings) -> Settings:
    """The settings with the script's own ``--name=value``; its addresses only if they are of the version asked for."""
    options = script.options
    changes: dict[str, Any] = {}
    if "ip_version" in options:
        changes["version"] = options["ip_version"].replace("_", "-")
    for key, (name, unit) in _NUMBERS.items():
        if key in options:
            try:
                changes[name] = integer(options[key]) * unit
            except ValueError:
                raise ScriptError(0, f"--{key} takes a number, not {options[key]!r}") from None
    if "strict_segments" in options:
        changes["strict_segments"] = True
    settings = dataclasses.replace(settings, **changes)
    if settings.version not in VERSIONS:
        raise ScriptError(0, f"the IP version is one of {', '.join(VERSIONS)}, not {settings.version!r}")
    least = 1280 if settings.family == V6 else 68
    if settings.mtu and not least <= settings.mtu <= _MAX_MTU:
        raise ScriptError(0, f"the MTU is {least} to {_MAX_MTU}, not {settings.mtu}")
    addresses: dict[str, Any] = {
        key: options[key].split("/")[0] for key in ("local_ip", "remote_ip", "gateway_ip") if key in options
    }
    for text in addresses.values():
        try:
            family = parse_address(text)[0]
        except ValueError:
            raise ScriptError(0, f"{text!r} is no address") from None
        if family != settings.family:  # the script is run with the other one
            return settings
    return dataclasses.replace(settings, **addresses)
