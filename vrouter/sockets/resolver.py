"""The names that a namespace knows: its own table of hosts, and its own DNS servers. Nothing asks the host's resolver.

A name is looked for in this order: ``localhost`` and what is below it, which are this host (RFC 6761 6.3); the table
of hosts; the servers, by the search list as resolv.conf(5) has it. Both families are asked for at once. A server that
does not answer in time, or refuses, or fails, is followed by the next one, and all of them `attempts` times. Answers
that were cut are asked for again by TCP (RFC 7766 5). Nothing is kept: servers do that.

Expects: a `Place`, in which the servers are asked.
Sets:    nothing.

Errors are those of getaddrinfo(3): EAI_NONAME where there is no such name, EAI_NODATA where it has no such address,
EAI_AGAIN where nobody could say, EAI_FAIL where every server refused.

Read first: RFC 1034 5.3.1, RFC 1035 7, RFC 3596, RFC 6761, RFC 6891, resolv.conf(5). Messages are dnspython's.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final

from vrouter.config.records import ResolverConfig
from vrouter.sockets.addrinfo import failure
from vrouter.stack.base.addresses import LOOPBACK6, V4, V6, format_address, parse_address

if TYPE_CHECKING:
    from vrouter.sockets.place import Place

LOOPBACK4: Final = 0x7F000001
PAYLOAD: Final = 1232  # bytes of an answer by UDP that no path fragments
_MAX_CHAIN: Final = 8  # aliases that servers leave to us to follow
_LENGTH_BYTES: Final = 2
_RECORDS: Final = {V4: "A", V6: "AAAA"}

Addresses = list[tuple[int, int]]


class Resolver:
    """What a namespace knows of names; ``config`` may be replaced at any time."""

    __slots__ = ("config",)

    def __init__(self, config: ResolverConfig | None = None) -> None:
        self.config = ResolverConfig() if config is None else config

    async def addresses(self, place: Place, name: str, families: list[int]) -> tuple[str, Addresses]:
        """(the canonical name, its addresses of these families). socket.gaierror; UnicodeError for a name that IDNA
        does not know."""
        text = _ascii(name)
        own = self._own(text.rstrip("."))
        if own is not None:
            found = [address for address in own if address[0] in families]
            if not found:
                raise failure(socket.EAI_NODATA if own else socket.EAI_NONAME)
            return text.rstrip("."), found
        if not self.config.servers or not text.strip("."):
            raise failure(socket.EAI_NONAME)
        return await self._search(place, text, families)

    def _own(self, name: str) -> Addresses | None:
        """What is known without asking, None when a server has to be asked."""
        if name == "localhost" or name.endswith(".localhost"):
            return [(V6, LOOPBACK6), (V4, LOOPBACK4)]
        known = self.config.hosts.get(name)
        if known is not None:
            return [(address.version, int(address)) for address in known]
        if name.rpartition(".")[2] == "invalid":  # RFC 6761 6.4
            return []
        return None

    def _candidates(self, name: str) -> list[str]:
        """The names to ask for, in order; resolv.conf(5)'s rules of ``search`` and ``ndots``."""
        if name.endswith("."):
            return [name]
        searched = [f"{name}.{domain}." for domain in self.config.search]
        plain = [f"{name}."]
        return plain + searched if name.count(".") >= self.config.ndots else searched + plain

    async def _search(self, place: Place, name: str, families: list[int]) -> tuple[str, Addresses]:
        code: int | None = socket.EAI_NONAME
        for candidate in self._candidates(name):
            try:
                return await self._ask_for(place, candidate, families)
            except socket.gaierror as error:
                if error.errno == socket.EAI_AGAIN:
                    raise
                if error.errno != socket.EAI_NONAME and code == socket.EAI_NONAME:
                    code = error.errno
        raise failure(code or socket.EAI_FAIL)

    async def _ask_for(self, place: Place, name: str, families: list[int]) -> tuple[str, Addresses]:
        """Both families at once; an error only where none has an address."""
        if len(families) == 1:
            return await self._chase(place, name, families[0])
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(self._outcome(place, name, family)) for family in families]
        outcomes = [job.result() for job in jobs]
        found = [outcome for outcome in outcomes if not isinstance(outcome, socket.gaierror)]
        if found:
            return found[0][0], [address for _, addresses in found for address in addresses]
        errors = [outcome for outcome in outcomes if isinstance(outcome, socket.gaierror)]
        ranks = (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_NODATA, socket.EAI_NONAME)
        raise min(errors, key=lambda error: ranks.index(error.errno or 0))

    async def _outcome(self, place: Place, name: str, family: int) -> tuple[str, Addresses] | socket.gaierror:
        try:
            return await self._chase(place, name, family)
        except socket.gaierror as error:
            return error

    async def _chase(self, place: Place, name: str, family: int) -> tuple[str, Addresses]:
        """Ask for one family's addresses, and go after aliases of which the answer has not the end."""
        import dns.exception
        import dns.rdatatype

        kind = dns.rdatatype.from_text(_RECORDS[family])
        for _ in range(_MAX_CHAIN):
            answer = await self._query(place, name, kind)
            try:
                chain = answer.resolve_chaining()
            except dns.exception.DNSException:
                raise failure(socket.EAI_FAIL) from None
            if chain.answer is not None:
                found = [(family, parse_address(record.address)[1]) for record in chain.answer]
                return chain.canonical_name.to_text(omit_final_dot=True), found
            following = chain.canonical_name.to_text()
            if answer.rcode() != 0:
                raise failure(socket.EAI_NONAME)
            if following.lower() == name.lower():
                raise failure(socket.EAI_NODATA)
            name = following
        raise failure(socket.EAI_FAIL)

    async def name_of(self, place: Place, family: int, address: int) -> str | None:
        """The name of an address, None when it has none."""
        if address in (LOOPBACK6, LOOPBACK4):
            return "localhost"
        for name, known in self.config.hosts.items():
            if any((one.version, int(one)) == (family, address) for one in known):
                return name
        if not self.config.servers:
            return None
        import dns.exception
        import dns.rdatatype
        import dns.reversename

        name = dns.reversename.from_address(format_address(address, family)).to_text()
        try:
            answer = await self._query(place, name, dns.rdatatype.PTR)
            chain = answer.resolve_chaining()
        except (socket.gaierror, dns.exception.DNSException):
            return None
        if chain.answer is None:
            return None
        target: str = next(iter(chain.answer)).target.to_text(omit_final_dot=True)
        return target

    # -- one question -----------------------------------------------------------------------------------------------

    async def _query(self, place: Place, name: str, kind: Any) -> Any:
        """An answer that says something: NOERROR or NXDOMAIN. socket.gaierror EAI_AGAIN, EAI_FAIL."""
        import dns.exception
        import dns.name
        import dns.rcode

        config = self.config
        try:
            dns.name.from_text(name)
        except (UnicodeError, dns.exception.DNSException):  # too long, with a domain of the search list behind it
            raise failure(socket.EAI_NONAME) from None
        refused, answered = False, True
        for _ in range(config.attempts):
            for server in config.servers:
                try:
                    async with asyncio.timeout(config.timeout):
                        answer = await self._exchange(place, server, name, kind)
                except (OSError, EOFError, dns.exception.DNSException):  # TimeoutError is an OSError
                    answered = False
                    continue
                rcode = answer.rcode()
                if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                    return answer
                if rcode == dns.rcode.SERVFAIL:
                    answered = False
                else:
                    refused = True
        raise failure(socket.EAI_FAIL if refused and answered else socket.EAI_AGAIN)

    async def _exchange(self, place: Place, server: tuple[str, int], name: str, kind: Any) -> Any:
        """The answer of one server. OSError, dns.exception.DNSException."""
        import dns.flags
        import dns.message
        import dns.rcode

        payload = PAYLOAD
        while True:
            query = dns.message.make_query(name, kind, use_edns=0 if payload else False, payload=payload or None)
            answer = await _by_udp(place, server, query)
            if answer.flags & dns.flags.TC:
                answer = await _by_tcp(place, server, query)
            if not payload or answer.rcode() not in (dns.rcode.FORMERR, dns.rcode.NOTIMP):
                return answer
            payload = 0  # an old server that does not know EDNS (RFC 6891 7)


def _ascii(name: str) -> str:
    """A name as the DNS has it."""
    if name.isascii():
        dots = name.rstrip(".")
        if any(not 0 < len(label) < 64 for label in dots.split(".")) if dots else True:
            raise UnicodeError("encoding with 'idna' codec failed (UnicodeError: label empty or too long)")
        return name.lower()
    return name.encode("idna").decode("ascii").lower()


class _Question(asyncio.DatagramProtocol):
    """Waits for the answer to a query; what is none is not looked at."""

    def __init__(self, query: Any, answer: asyncio.Future[Any]) -> None:
        self.query = query
        self.answer = answer

    def datagram_received(self, data: bytes, addr: Any) -> None:
        import dns.exception
        import dns.message

        try:
            message = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=False)
        except dns.exception.DNSException:
            return
        if not self.answer.done() and self.query.is_response(message):
            self.answer.set_result(message)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _by_udp(place: Place, server: tuple[str, int], query: Any) -> Any:
    from vrouter.sockets.datagram import create_datagram_endpoint

    answer: asyncio.Future[Any] = place.loop.create_future()
    transport, _ = await create_datagram_endpoint(place, lambda: _Question(query, answer), remote_addr=server)
    try:
        transport.sendto(query.to_wire())
        return await answer
    finally:
        transport.close()
        if answer.done() and not answer.cancelled():
            answer.exception()  # looked at, also when nobody waits any more


async def _by_tcp(place: Place, server: tuple[str, int], query: Any) -> Any:
    import dns.exception
    import dns.message

    from vrouter.sockets.streams import open_connection

    reader, writer = await open_connection(place, *server)
    try:
        wire = query.to_wire()
        writer.write(len(wire).to_bytes(_LENGTH_BYTES, "big") + wire)
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        message = dns.message.from_wire(await reader.readexactly(length))
    finally:
        writer.transport.abort()
    if not query.is_response(message):
        raise dns.exception.FormError
    return message
