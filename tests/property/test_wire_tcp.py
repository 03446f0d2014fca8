"""The TCP codec against scapy as an independent builder and parser, a slow twin, and against any bytes at all."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from scapy.compat import raw
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import Packet
from vrouter.stack.wire import tcp

u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
flag_sets = st.integers(0, 0x1FF)
payloads = st.binary(max_size=64)
cookies = st.sampled_from([4, 6, 8, 10, 12, 14, 16]).flatmap(lambda n: st.binary(min_size=n, max_size=n))
timestamps = st.tuples(u32, u32)
blocks = st.lists(st.tuples(u32, u32), min_size=1, max_size=4)


def packet(segment, before=b"", after=b""):
    pkt = Packet.from_frame(before + segment + after)
    pkt.l4 = pkt.start + len(before)
    pkt.end -= len(after)
    return pkt


def options_of(seg):
    return (
        seg.mss,
        seg.wscale,
        seg.sack_permitted,
        (seg.tsval, seg.tsecr) if seg.ts else None,
        seg.sacks,
        seg.fastopen,
    )


@given(
    head=st.tuples(u16, u16, u32, u32, flag_sets.filter(lambda flags: not flags & tcp.SYN), u16, u16),
    timestamp=st.none() | timestamps,
    sacks=st.just([]) | blocks,
    data=payloads,
    before=payloads,
    after=payloads,
)
def test_parse_of_what_scapy_builds(head, timestamp, sacks, data, before, after):
    """RFC 9293 3.1, RFC 7323 3.2, RFC 2018 3: every field, timestamp and SACK blocks."""
    sacks = sacks[: 3 if timestamp else 4]
    sport, dport, seq, ack, flags, window, urgent = head
    options = [("NOP", None), ("NOP", None), ("Timestamp", timestamp)] if timestamp else []
    options += [("NOP", None), ("NOP", None), ("SAck", tuple(edge for pair in sacks for edge in pair))] if sacks else []
    built = TCP(
        sport=sport, dport=dport, seq=seq, ack=ack, flags=flags, window=window, urgptr=urgent, options=options, chksum=0
    )
    pkt = packet(raw(built / Raw(data)), before, after)
    seg = tcp.parse(pkt)
    assert (seg.sport, seg.dport, seg.seq, seg.ack, seg.flags, seg.window, seg.urgent) == head
    assert pkt.buf[seg.data : seg.end] == data
    assert options_of(seg) == (0, -1, False, timestamp, tuple(sacks), None)


@given(
    mss=st.integers(1, 65535),
    wscale=st.none() | st.integers(0, 14),
    permitted=st.booleans(),
    timestamp=st.none() | timestamps,
    cookie=st.none() | st.just(b"") | cookies,
    experiment=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_parse_of_a_syn_that_scapy_builds(mss, wscale, permitted, timestamp, cookie, experiment, order):
    """RFC 9293 3.2, RFC 7323 2.2, RFC 2018 2, RFC 7413 4.1.1: the options of a SYN in any order."""
    options = [("MSS", mss)]
    options += [("WScale", wscale)] if wscale is not None else []
    options += [("SAckOK", b"")] if permitted else []
    options += [("Timestamp", timestamp)] if timestamp else []
    if cookie is not None:
        options += [(254, b"\xf9\x89" + cookie) if experiment else (34, cookie)]
    order.shuffle(options)
    if (
        sum({"MSS": 4, "WScale": 3, "SAckOK": 2, "Timestamp": 10}.get(o[0], 20 if experiment else 18) for o in options)
        > 40
    ):
        return
    seg = tcp.parse(packet(raw(TCP(flags="S", options=options))))
    assert options_of(seg) == (mss, -1 if wscale is None else wscale, permitted, timestamp, (), cookie)
    assert seg.fastopen_experiment == (experiment and cookie is not None)


@given(
    head=st.tuples(u16, u16, u32, u32, flag_sets, u16),
    urgent=u16,
    timestamp=st.none() | timestamps,
    sacks=st.just([]) | blocks,
    data=payloads,
    ends=st.tuples(u32, u32),
    family=st.sampled_from([4, 6]),
)
def test_scapy_reads_what_is_emitted(head, urgent, timestamp, sacks, data, ends, family):
    """RFC 9293 3.1: what scapy decodes is what was given, with the checksum that scapy computes itself."""
    area = tcp.options(timestamp, sacks)
    buf = bytearray(60)
    size = tcp.emit_header(buf, 0, *head, options=area, urgent=urgent)
    del buf[size:]
    buf += data
    src, dst = ends if family == 4 else (ends[0] << 96 | 1, ends[1] << 96 | 2)
    bits = 32 if family == 4 else 128
    tcp.finish(buf, 0, len(buf), src, dst, bits)
    seen = TCP(bytes(buf))
    assert (seen.sport, seen.dport, seen.seq, seen.ack, int(seen.flags), seen.window) == head
    assert (seen.urgptr, seen.dataofs * 4, raw(seen.payload)) == (urgent, size, data)
    found = {name: value for name, value in seen.options if name != "NOP"}
    fits = sacks[: 3 if timestamp else 4]
    assert found.get("Timestamp") == timestamp
    assert found.get("SAck", ()) == tuple(edge for pair in fits for edge in pair)
    network = IP(src=str(IPv4Address(src)), dst=str(IPv4Address(dst))) if family == 4 else None
    network = network or IPv6(src=str(IPv6Address(src)), dst=str(IPv6Address(dst)))
    del seen.chksum
    rebuilt = raw(network / seen)[-len(buf) :]
    assert int.from_bytes(rebuilt[16:18], "big") % 0xFFFF == tcp.checksum(buf, 0) % 0xFFFF


@given(
    mss=u16,
    wscale=st.integers(-1, 14),
    permitted=st.booleans(),
    timestamp=st.none() | timestamps,
    cookie=st.none() | st.just(b"") | cookies,
    experiment=st.booleans(),
)
def test_what_a_syn_says_comes_back(mss, wscale, permitted, timestamp, cookie, experiment):
    """What is emitted is parsed again, and always fits the header."""
    area = tcp.syn_options(mss, wscale, permitted, timestamp, cookie, experiment)
    assert len(area) <= 40
    assert len(area) % 4 == 0
    buf = bytearray(60)
    size = tcp.emit_header(buf, 0, 1, 2, 3, 4, tcp.SYN, 5, options=area)
    seg = tcp.parse(packet(bytes(buf[:size])))
    assert options_of(seg) == (mss, wscale, permitted, timestamp, (), cookie)


# Any bytes ------------------------------------------------------------------------------------------------------------


def twin_options(area, syn):
    """The option list by the letter of RFC 9293 3.1: kind and value of each, as far as it can be read."""
    found = []
    while area and area[0] != 0:
        if area[0] == 1:
            area = area[1:]
            continue
        if len(area) < 2 or area[1] < 2 or area[1] > len(area):
            break
        found.append((area[0], area[2 : area[1]]))
        area = area[area[1] :]
    result = {"mss": 0, "wscale": -1, "permitted": False, "timestamp": None, "sacks": (), "cookie": None}
    for kind, value in found:
        numbers = [int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4)]
        if kind == 8 and len(value) == 8:
            result["timestamp"] = tuple(numbers)
        if kind == 5 and not syn and value and len(value) % 8 == 0:
            result["sacks"] = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        if not syn:
            continue
        if kind == 2 and len(value) == 2:
            result["mss"] = int.from_bytes(value, "big")
        if kind == 3 and len(value) == 1:
            result["wscale"] = min(14, value[0])
        if kind == 4 and value == b"":
            result["permitted"] = True
        if kind == 254 and value[:2] == b"\xf9\x89":
            kind, value = 34, value[2:]
        if kind == 34 and len(value) in (0, 4, 6, 8, 10, 12, 14, 16):
            result["cookie"] = value
    return tuple(result.values())


tidy = st.tuples(
    st.sampled_from([2, 3, 4, 5, 8, 34, 253, 254]), st.sampled_from([0, 1, 2, 4, 6, 8, 16]), st.binary(min_size=40)
).map(lambda o: bytes([o[0], o[1] + 2]) + o[2][: o[1]])
areas = st.one_of(
    st.binary(max_size=40),
    st.lists(
        tidy | st.sampled_from([b"\x01", b"\x01\x01", b"\xfe\x04\xf9\x89", b"\xfe\x08\xf9\x89abcd"]), max_size=6
    ).map(lambda options: b"".join(options)[:40]),
)


@given(area=areas, flags=flag_sets, before=payloads, after=payloads)
def test_any_options_are_read_as_the_twin_reads_them(area, flags, before, after):
    """RFC 9293 3.1 MUST-5 to MUST-7, MUST-68: any area, strictly within its bounds."""
    area += bytes(-len(area) & 3)
    buf = bytearray(60)
    size = tcp.emit_header(buf, 0, 1, 2, 3, 4, flags, 5, options=area)
    seg = tcp.parse(packet(bytes(buf[:size]), before, after))
    assert options_of(seg) == twin_options(area, flags & tcp.SYN)


@given(data=st.binary(max_size=80), before=payloads, after=payloads)
def test_any_bytes(data, before, after):
    """Garbage is a segment within its bounds or refused; nothing raises."""
    pkt = packet(data, before, after)
    seg = tcp.parse(pkt)
    if isinstance(seg, int):
        assert seg == DropReason.L4_HDR
        assert len(data) < 20 or data[12] >> 4 < 5 or (data[12] >> 4) * 4 > len(data)
    else:
        assert pkt.l4 + 20 <= seg.data <= seg.end == pkt.end
        assert seg.data - pkt.l4 == tcp.header_length(pkt.buf, pkt.l4)
        pkt.family = 4
        tcp.checksum_ok(pkt, seg)
