"""What is measured at a site: rate of small datagrams, round trips, TCP and UDP streams."""

from __future__ import annotations

import json
import re
import statistics
import time
from dataclasses import dataclass, field

from benchmarks.commands import CommandError, module, placed, run, started
from benchmarks.machine import CLIENT_CORE, cpu_seconds
from benchmarks.sites import SERVER, Site
from benchmarks.udp_rate import SIZE

PING_INTERVAL = "0.002"
CONGESTION_CONTROL = "cubic"
_TIME = re.compile(r" time=([\d.]+) ms")


@dataclass(slots=True)
class Samples:
    """All rounds of one site. Rates are datagrams a second, times seconds, streams bits a second."""

    udp_rate: list[float] = field(default_factory=list)
    user_seconds: list[float] = field(default_factory=list)
    """Processor time of the peer's processes per datagram that arrived, outside of the kernel and in it."""
    system_seconds: list[float] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    ping_medians: list[float] = field(default_factory=list)
    """Of each round."""
    pings_lost: int = 0
    tcp_up: list[float] = field(default_factory=list)
    tcp_down: list[float] = field(default_factory=list)
    udp_stream: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def udp_run(site: Site, seconds: float, count: int = 0, size: int = SIZE) -> tuple[dict[str, float], dict[str, float]]:
    """Send for `seconds` (or `count` datagrams) from a to b: what `udp_rate` sent, and what it counted."""
    limits = ["--seconds", str(seconds + 2), "--count", str(count), "--size", str(size)]
    counting = placed([*module("udp_rate"), "count", *limits], site.b, CLIENT_CORE)
    limits[1] = str(seconds)
    sending = placed([*module("udp_rate"), "send", SERVER, *limits], site.a, CLIENT_CORE)
    with started(counting, ready="ready") as counter:
        sent = json.loads(run(sending, seconds + 10))
        assert counter.child.stdout is not None
        counted = json.loads(counter.child.stdout.readline() or "{}")
    if not counted.get("packets"):
        raise CommandError("no datagram arrived")
    if counted["wrong"]:
        raise CommandError(f"{counted['wrong']} datagrams arrived with other bytes")
    return sent, counted


def measure_udp(site: Site, samples: Samples, seconds: float) -> None:
    """One round of small datagrams, more than can pass: those that arrive in a second."""
    before = [cpu_seconds(pid) for pid in site.pids]
    _, counted = udp_run(site, seconds)
    after = [cpu_seconds(pid) for pid in site.pids]
    packets = counted["packets"]
    samples.udp_rate.append(counted["rate"])
    if site.pids:
        samples.user_seconds.append(sum(new[0] - old[0] for new, old in zip(after, before, strict=True)) / packets)
        samples.system_seconds.append(sum(new[1] - old[1] for new, old in zip(after, before, strict=True)) / packets)


def measure_ping(site: Site, samples: Samples, count: int) -> None:
    """One round of pings, one after the other."""
    words = ["ping", "-n", "-c", str(count), "-i", PING_INTERVAL, "-W", "1", SERVER]
    out = run(placed(words, site.a, CLIENT_CORE), count * 0.05 + 10)
    times = [float(found) / 1000 for found in _TIME.findall(out)]
    if not times:
        raise CommandError("no ping came back")
    samples.pings += times
    samples.ping_medians.append(statistics.median(times))
    samples.pings_lost += count - len(times)


def measure_streams(site: Site, samples: Samples, seconds: int) -> None:
    """One round of TCP to b, TCP from b, UDP to b."""
    samples.tcp_up.append(_iperf(site, seconds, "--congestion", CONGESTION_CONTROL))
    samples.tcp_down.append(_iperf(site, seconds, "--congestion", CONGESTION_CONTROL, "--reverse"))
    samples.udp_stream.append(_iperf(site, seconds, "--udp", "--bitrate", "0", "--length", "1448"))


def _iperf(site: Site, seconds: int, *options: str) -> float:
    """Bits a second that arrived; tried once more when the server is still busy with what was before."""
    words = ["iperf3", "--client", SERVER, "--time", str(seconds), "--json", "--connect-timeout", "2000", *options]
    complaint = ""
    for _ in range(2):
        try:
            result = json.loads(run(placed(words, site.a, CLIENT_CORE), seconds + 12))
            return float(result["end"]["sum_received"]["bits_per_second"])
        except CommandError as error:
            complaint = str(error)
        except KeyError:
            complaint = result.get("error", "no result")
        time.sleep(1)
    raise CommandError(f"iperf3: {complaint}")
