"""How a namespace knows names: its table of hosts, its servers, in virtual time; nobody asks the host's resolver.

a ──10 ms── b          b is the DNS server at 10.0.1.2 and fd00:0:1::2, ports 53 and others
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

import vrouter
from tests.path.sockets.world import turns
from vrouter.testing import Lab

Zone = dict[tuple[str, str], list[str]]

ZONE: Zone = {
    ("web.example.test.", "A"): ["10.0.0.1", "10.0.0.2"],
    ("web.example.test.", "AAAA"): ["2001:db8::1"],
    ("four.example.test.", "A"): ["10.0.0.4"],
    ("alias.example.test.", "CNAME"): ["web.example.test."],
    ("loop.example.test.", "CNAME"): ["loop.example.test."],
    ("far.example.test.", "CNAME"): ["far.other.test."],
    ("far.other.test.", "A"): ["10.0.0.9"],
    ("text.example.test.", "TXT"): ["hello"],
    ("1.1.0.10.in-addr.arpa.", "PTR"): ["router.example.test."],
    ("xn--mnchen-3ya.test.", "A"): ["10.0.0.5"],
}


class Server(asyncio.DatagramProtocol):
    """Answers from a zone, `rcode` instead of what it knows, or nothing at all (`mute`); `cut` answers by UDP."""

    def __init__(self, rcode: int = 0, mute: bool = False, cut: bool = False, edns: bool = True, chase: bool = True):
        self.rcode, self.mute, self.cut, self.edns, self.chase = rcode, mute, cut, edns, chase
        self.asked: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self.answer(data, "udp")
        if answer is None:
            return
        if self.cut:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        forged = dns.message.make_response(dns.message.make_query("forged.test", "A"))
        self.transport.sendto(b"no message", addr)
        self.transport.sendto(forged.to_wire(), addr)
        self.transport.sendto(answer.to_wire(), addr)

    def answer(self, data: bytes, way: str) -> dns.message.Message | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{way} {name} {kind}")
        if self.mute:
            return None
        answer = dns.message.make_response(query)
        if query.edns >= 0 and not self.edns:
            answer.use_edns(False)
            answer.set_rcode(dns.rcode.FORMERR)
            return answer
        if self.rcode:
            answer.set_rcode(self.rcode)
            return answer
        for _ in range(4):
            found = ZONE.get((name, kind))
            if found:
                answer.answer.append(dns.rrset.from_text_list(dns.name.from_text(name), 60, "IN", kind, found))
                return answer
            alias = ZONE.get((name, "CNAME"))
            if not alias:
                break
            answer.answer.append(dns.rrset.from_text_list(dns.name.from_text(name), 60, "IN", "CNAME", alias))
            name = alias[0]
            if not self.chase:
                return answer
        if not any(known == name for known, _ in ZONE):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    async def by_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        answer = self.answer(await reader.readexactly(length), "tcp")
        if answer is not None:
            wire = answer.to_wire()
            writer.write(len(wire).to_bytes(2, "big") + wire)
        writer.close()


class Net:
    """a asks, b answers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.a, self.b = lab.line("a", "b", delay=0.01)

    def run(self, listening: list[Server], asks: Callable[[vrouter.Netns], Any], **settings: Any) -> tuple[Any, float]:
        """(what `asks` gives or raises, the seconds that it took) with a server at each port from 53 on."""

        async def main() -> tuple[Any, float]:
            far, made = self.b.face, []
            for number, server in enumerate(listening):
                made.append((await far.create_datagram_endpoint(lambda s=server: s, ("::", 53 + number)))[0])
                made.append(await far.start_server(server.by_tcp, None, 53 + number))
            near = self.a.face
            ports = [f"10.0.1.2:{53 + number}" for number in range(len(listening))]
            await near.set_resolver(**({"servers": ports} | settings))
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                result = await asks(near)
            except socket.gaierror as error:
                result = error.errno
            finally:
                took = loop.time() - began
                for one in made:
                    one.close()
            await turns(10)
            assert not near.stack.sockets
            return result, took

        return self.lab.run(main())

    def addresses(self, listening: list[Server], name: str, family: int = 0, **settings: Any) -> tuple[Any, float]:
        async def asks(near: vrouter.Netns) -> list[str]:
            found = await near.getaddrinfo(name, 80, family=family, type=socket.SOCK_STREAM)
            return [info[4][0] for info in found]

        return self.run(listening, asks, **settings)


@pytest.fixture
def net(lab: Lab) -> Net:
    return Net(lab)


def test_both_families_at_once(net: Net) -> None:
    """RFC 3596: A and AAAA are asked for side by side, so that both cost one round trip."""
    server = Server()
    result, took = net.addresses([server], "web.example.test")
    assert sorted(result) == ["10.0.0.1", "10.0.0.2", "2001:db8::1"]
    assert sorted(server.asked) == ["udp web.example.test. A", "udp web.example.test. AAAA"]
    assert took == pytest.approx(0.02, abs=0.001)


def test_one_family(net: Net) -> None:
    """What is not asked for is not asked for."""
    server = Server()
    assert net.addresses([server], "WEB.Example.test", socket.AF_INET6)[0] == ["2001:db8::1"]
    assert server.asked == ["udp web.example.test. AAAA"]


def test_half_an_answer_is_enough(net: Net) -> None:
    """A name with addresses of one family has them when both are asked for."""
    assert net.addresses([Server()], "four.example.test")[0] == ["10.0.0.4"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nobody.example.test", socket.EAI_NONAME),
        ("text.example.test", socket.EAI_NODATA),
        ("loop.example.test", socket.EAI_FAIL),
        ("host.invalid", socket.EAI_NONAME),
    ],
)
def test_what_has_no_address(net: Net, name: str, code: int) -> None:
    """EAI_NONAME, EAI_NODATA, EAI_FAIL, as getaddrinfo(3) has them."""
    assert net.addresses([Server()], name)[0] == code


def test_invalid_is_never_asked_for(net: Net) -> None:
    """RFC 6761 6.4: names below invalid. do not exist, and no server is told of them."""
    server = Server()
    assert net.addresses([server], "host.invalid")[0] == socket.EAI_NONAME
    assert net.addresses([server], "mail.localhost", socket.AF_INET)[0] == ["127.0.0.1"]
    assert server.asked == []


def test_aliases(net: Net) -> None:
    """RFC 1034 3.6.2: a CNAME is followed, in the answer or by another question; AI_CANONNAME tells where it led."""

    async def asks(near: vrouter.Netns) -> Any:
        return await near.getaddrinfo("alias.example.test", 80, family=2, type=1, flags=socket.AI_CANONNAME)

    for chase in (True, False):
        found, _ = net.run([Server(chase=chase)], asks)
        assert [info[3] for info in found] == ["web.example.test", ""]
        assert sorted(info[4][0] for info in found) == ["10.0.0.1", "10.0.0.2"]
        assert net.addresses([Server(chase=chase)], "far.example.test", socket.AF_INET)[0] == ["10.0.0.9"]


def test_cut_answers_are_asked_for_by_tcp(net: Net) -> None:
    """RFC 7766 5: TC means to ask again by TCP."""
    server = Server(cut=True)
    result, took = net.addresses([server], "four.example.test", socket.AF_INET)
    assert result == ["10.0.0.4"]
    assert server.asked == ["udp four.example.test. A", "tcp four.example.test. A"]
    assert took == pytest.approx(0.06, abs=0.002)


def test_an_old_server(net: Net) -> None:
    """RFC 6891 7: one that answers FORMERR is asked again without EDNS."""
    server = Server(edns=False)
    assert net.addresses([server], "four.example.test", socket.AF_INET)[0] == ["10.0.0.4"]
    assert server.asked == ["udp four.example.test. A"] * 2


def test_the_next_server(net: Net) -> None:
    """One that fails, refuses, or does not listen costs a round trip; one that is mute its timeout."""
    for first, cost in ((Server(dns.rcode.SERVFAIL), 0.02), (Server(dns.rcode.REFUSED), 0.02), (Server(mute=True), 3)):
        result, took = net.addresses([first, Server()], "four.example.test", socket.AF_INET, timeout=3)
        assert result == ["10.0.0.4"]
        assert took == pytest.approx(0.02 + cost, abs=0.002)
    servers = ["10.0.1.2:9", "10.0.1.2:53"]
    result, took = net.addresses([Server()], "four.example.test", socket.AF_INET, servers=servers)
    assert (result, took) == (["10.0.0.4"], pytest.approx(0.04, abs=0.001))


def test_attempts_and_timeout(net: Net) -> None:
    """Every server is asked `attempts` times, each for `timeout` seconds; then it is EAI_AGAIN."""
    mute = Server(mute=True)
    result, took = net.addresses([mute, Server(mute=True)], "web.example.test", timeout=2, attempts=3)
    assert (result, took) == (socket.EAI_AGAIN, pytest.approx(12, abs=0.01))
    assert mute.asked.count("udp web.example.test. A") == 3
    failing = Server(dns.rcode.SERVFAIL)
    assert net.addresses([failing], "web.example.test", socket.AF_INET, attempts=1)[0] == socket.EAI_AGAIN
    refusing = Server(dns.rcode.REFUSED)
    assert net.addresses([refusing], "web.example.test", socket.AF_INET, attempts=1)[0] == socket.EAI_FAIL


@pytest.mark.parametrize(
    ("name", "ndots", "asked"),
    [
        ("web", 1, ["web.first.test.", "web.example.test."]),
        ("web.example", 1, ["web.example.", "web.example.first.test.", "web.example.example.test."]),
        ("web.example", 2, ["web.example.first.test.", "web.example.example.test.", "web.example."]),
        ("web.", 1, ["web."]),
    ],
)
def test_the_search_list(net: Net, name: str, ndots: int, asked: list[str]) -> None:
    """resolv.conf(5): search and ndots say which names are tried, in which order."""
    server = Server()
    search = ["first.test", "example.test"]
    result, _ = net.addresses([server], name, socket.AF_INET, search=search, ndots=ndots)
    assert server.asked == [f"udp {one} A" for one in asked]
    if name == "web":
        assert sorted(result) == ["10.0.0.1", "10.0.0.2"]
    else:
        assert result == socket.EAI_NONAME


def test_a_name_that_is_too_long(net: Net) -> None:
    """RFC 1035 2.3.4: with the search list behind it a name may be longer than 255 octets; then it is not asked for."""
    server = Server()
    name = ".".join(["x" * 60] * 4)
    assert net.addresses([server], name, search=["example.test"], ndots=9)[0] == socket.EAI_NONAME
    assert sorted(server.asked) == [f"udp {name}. A", f"udp {name}. AAAA"]


def test_hosts_come_first(net: Net) -> None:
    """The table of hosts is asked before any server, and says all that it knows; names have no case."""
    server = Server()
    hosts = {"Four.Example.Test": ["10.7.7.7", "fd00::7"], "db": "10.8.8.8"}
    assert sorted(net.addresses([server], "four.example.test.", hosts=hosts)[0]) == ["10.7.7.7", "fd00::7"]
    assert net.addresses([server], "DB", hosts=hosts)[0] == ["10.8.8.8"]
    assert net.addresses([server], "db", socket.AF_INET6, hosts=hosts)[0] == socket.EAI_NODATA
    assert server.asked == []


def test_localhost_is_this_host(net: Net) -> None:
    """RFC 6761 6.3: without any configuration, and never asked for."""

    async def asks(near: vrouter.Netns) -> Any:
        return [info[4][:2] for info in await near.getaddrinfo("LocalHost", "http", type=socket.SOCK_STREAM)]

    assert net.run([], asks)[0] == [("::1", 80), ("127.0.0.1", 80)]


def test_without_servers_nothing_is_known(net: Net) -> None:
    """Nothing falls back to the host's resolver, which knows this machine's own name."""
    assert net.addresses([], socket.gethostname())[0] == socket.EAI_NONAME
    assert net.addresses([], "localhost.example.test")[0] == socket.EAI_NONAME


def test_names_of_other_scripts(net: Net) -> None:
    """IDNA: a name is asked for as the DNS has it; what is no name is UnicodeError, as in the socket module."""
    server = Server()
    assert net.addresses([server], "München.test", socket.AF_INET)[0] == ["10.0.0.5"]
    assert server.asked == ["udp xn--mnchen-3ya.test. A"]
    for name in ("a..b", "x" * 64, "."):
        with pytest.raises(UnicodeError):
            net.addresses([server], name)


def test_the_other_way(net: Net) -> None:
    """getnameinfo(3): from the table of hosts, by PTR, or the number itself; NI_ flags."""

    async def asks(near: vrouter.Netns) -> Any:
        found = [
            await near.getnameinfo(("10.0.1.1", 80)),
            await near.getnameinfo(("10.0.1.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
            await near.getnameinfo(("10.0.1.1", 80), socket.NI_NOFQDN | socket.NI_NUMERICSERV),
            await near.getnameinfo(("10.4.4.4", 50999)),
            await near.getnameinfo(("::1", 80, 0, 0)),
            await near.getnameinfo(("fd00::7", 53, 0, 0), socket.NI_DGRAM),
        ]
        with pytest.raises(socket.gaierror) as caught:
            await near.getnameinfo(("10.4.4.4", 80), socket.NI_NAMEREQD)
        assert caught.value.errno == socket.EAI_NONAME
        return found

    found, _ = net.run([Server()], asks, hosts={"seven.test": "fd00::7"})
    assert found == [
        ("router.example.test", "http"),
        ("10.0.1.1", "80"),
        ("router", "80"),
        ("10.4.4.4", "50999"),
        ("localhost", "http"),
        ("seven.test", "domain"),
    ]


NUMBERS: list[dict[str, Any]] = [
    {"host": "127.0.0.1", "port": 80},
    {"host": "127.0.0.1", "port": 80, "proto": 6},
    {"host": "127.0.0.1", "port": "http", "type": 1},
    {"host": b"127.0.0.1", "port": b"80", "type": 1},
    {"host": "127.1", "port": "80", "flags": socket.AI_CANONNAME},
    {"host": "::1", "port": 0, "type": 2},
    {"host": "::ffff:1.2.3.4", "port": 80, "type": 1, "family": 2},
    {"host": "1.2.3.4", "port": 80, "type": 1, "family": 10, "flags": socket.AI_V4MAPPED},
    {"host": "fe80::1%lo", "port": 1, "type": 1},
    {"host": None, "port": 80, "type": 1},
    {"host": None, "port": 80, "type": 1, "flags": socket.AI_PASSIVE},
    {"host": "127.0.0.1", "port": None, "type": 1},
    {"host": "127.0.0.1", "port": 70000, "type": 1},
    {"host": None, "port": None},
    {"host": "", "port": 80},
    {"host": "127.0.0.1", "port": 80, "family": 10},
    {"host": "::1", "port": 80, "family": 2},
    {"host": "127.0.0.1", "port": 80, "family": 99},
    {"host": "x.test", "port": 80, "flags": socket.AI_NUMERICHOST},
    {"host": "127.0.0.1", "port": "nosuchservice"},
    {"host": "127.0.0.1", "port": "http", "flags": socket.AI_NUMERICSERV},
    {"host": "127.0.0.1", "port": 80, "type": 1, "proto": 17},
    {"host": "127.0.0.1", "port": 80, "proto": 99},
    {"host": "127.0.0.1", "port": 80, "flags": 1 << 20},
    {"host": None, "port": 80, "flags": socket.AI_CANONNAME},
    {"host": "::1%nosuchdevice", "port": 80},
]


@pytest.mark.parametrize("question", NUMBERS, ids=repr)
def test_numbers_mean_what_the_c_library_says(net: Net, question: dict[str, Any]) -> None:
    """getaddrinfo(3) for all that needs no name, and for what is refused: the same answer and the same error."""

    async def asks(near: vrouter.Netns) -> Any:
        return await near.getaddrinfo(question["host"], question["port"], **options)

    options = {key: value for key, value in question.items() if key not in ("host", "port")}
    try:
        expected: Any = socket.getaddrinfo(**question)
    except socket.gaierror as error:
        expected = error.errno
    assert net.run([], asks)[0] == expected


def test_the_order_of_destinations(net: Net) -> None:
    """RFC 6724 6: reachable ones first (rule 1), then matching scopes and labels (2, 5), by precedence (6)."""
    a = net.a
    a.ns.add_address("b", "2001:db8::5/64", now=net.lab.now)
    hosts = {"many.test": ["192.0.2.1", "fd00:0:1::2", "10.0.1.2", "2001:db8::1", "2001:db9::1"]}
    found, _ = net.addresses([], "many.test", hosts=hosts)
    assert found == ["2001:db8::1", "10.0.1.2", "fd00:0:1::2", "2001:db9::1", "192.0.2.1"]


def test_families_that_are_configured(net: Net) -> None:
    """AI_ADDRCONFIG: only families of which the namespace has an address."""

    async def asks(near: vrouter.Netns) -> Any:
        both = await near.getaddrinfo("both.test", 80, type=1, flags=socket.AI_ADDRCONFIG)
        await near.del_address("b", "fd00:0:1::1/64")
        one = await near.getaddrinfo("both.test", 80, type=1, flags=socket.AI_ADDRCONFIG)
        with pytest.raises(socket.gaierror):
            await near.getaddrinfo("both.test", 80, family=10, flags=socket.AI_ADDRCONFIG)
        return [[info[4][0] for info in infos] for infos in (both, one)]

    hosts = {"both.test": ["10.0.1.2", "fd00:0:1::2"]}
    assert net.run([], asks, hosts=hosts)[0] == [["10.0.1.2", "fd00:0:1::2"], ["10.0.1.2"]]


def test_settings_are_checked(net: Net) -> None:
    """set_resolver() takes the keys of the configuration, and refuses with its messages; nothing changes then."""

    async def asks(near: vrouter.Netns) -> Any:
        before = near.resolver.config
        with pytest.raises(vrouter.ConfigError, match=r"'dns\.example' is not an IPv4 address"):
            await near.set_resolver(servers=["dns.example"])
        with pytest.raises(ValueError, match="unknown key"):
            await near.set_resolver(server=["10.0.0.1"])
        assert near.resolver.config is before
        return None

    assert net.run([Server()], asks)[0] is None


def test_endpoints_by_name(net: Net) -> None:
    """create_connection() and create_datagram_endpoint() take names of both families."""

    async def asks(near: vrouter.Netns) -> Any:
        transport, _ = await near.create_connection(asyncio.Protocol, "b.test", 53)
        names = [transport.get_extra_info("peername")[0]]
        transport.abort()
        for family in (0, socket.AF_INET6):
            transport, _ = await near.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=("b.test", 53), family=family
            )
            names.append(transport.get_extra_info("peername")[0])
            transport.close()
        return names

    hosts = {"b.test": ["fd00:0:1::2", "10.0.1.2"]}
    assert net.run([Server()], asks, hosts=hosts)[0] == ["10.0.1.2", "10.0.1.2", "fd00:0:1::2"]
