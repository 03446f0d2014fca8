"""A bridge against an obvious twin, and against frames that nobody would send: what comes out where, exactly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.path.switch import Switch
from vrouter.stack.wire.ethernet import BROADCAST

SECOND = 1_000_000_000
PORTS = range(4)
STATIONS = [bytes((2, 0, 0, 0, 1, n)) for n in range(5)]
TARGETS = [*STATIONS, BROADCAST, bytes.fromhex("01005e010203"), bytes.fromhex("0180c2000003")]
TAGS = [None, 0, 10, 20, 30, 0xE00A]

memberships = st.fixed_dictionaries(
    {"pvid": st.sampled_from([0, 10, 20]), "untagged": st.just([]), "tagged": st.lists(st.sampled_from([10, 20]))}
)
ports = st.fixed_dictionaries(
    {"isolated": st.booleans(), "flood": st.booleans(), "learning": st.booleans(), "vlans": memberships}
)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(PORTS), st.sampled_from(TARGETS), st.sampled_from(STATIONS), st.sampled_from(TAGS)),
        st.sampled_from([1, 150, 299, 300]),
    ),
    max_size=30,
)


class Twin:
    """What a bridge does, by lists and loops."""

    def __init__(self, config: list[dict[str, object]], filtering: bool) -> None:
        self.config, self.filtering = config, filtering
        self.heard: dict[tuple[int, bytes], tuple[int, int]] = {}
        self.pvid, self.members = [], []
        for one in config:
            vlans: dict = one["vlans"]  # type: ignore[assignment] # as the strategy above makes it
            tagged = set(vlans["tagged"])
            bare = {vlans["pvid"]} - {0} - tagged
            self.pvid.append(vlans["pvid"])
            self.members.append({vid: vid in bare for vid in tagged | bare})

    def send(self, n: int, dst: bytes, src: bytes, tag: int | None, body: bytes, now: int) -> dict[int, bytes]:
        head = dst + src
        frame = head + (b"" if tag is None else b"\x81\x00" + tag.to_bytes(2, "big")) + body
        if dst[:5] == bytes.fromhex("0180c20000"):
            return {}
        vid = 0
        if self.filtering:
            vid = (tag or 0) & 0xFFF or self.pvid[n]
            if vid not in self.members[n]:
                return {}
        if self.config[n]["learning"]:
            self.heard[vid, src] = (n, now)
        group = dst[0] & 1
        at, when = self.heard.get((vid, dst), (None, 0))
        known = not group and at is not None and now - when < 300 * SECOND
        out = {}
        for m in PORTS:
            if m == n or (known and m != at):
                continue
            if self.config[n]["isolated"] and self.config[m]["isolated"]:
                continue
            if not group and not known and not self.config[m]["flood"]:
                continue
            if not self.filtering:
                out[m] = frame
            elif vid in self.members[m]:
                tci = vid if tag is None else tag & 0xF000 | vid
                out[m] = head + (b"" if self.members[m][vid] else b"\x81\x00" + tci.to_bytes(2, "big")) + body
        return out


@settings(max_examples=150)
@given(st.lists(ports, min_size=4, max_size=4), st.booleans(), steps)
def test_the_twin_agrees(config: list[dict[str, object]], filtering: bool, script: list[object]) -> None:
    """IEEE 802.1D 7.7 to 7.9, 802.1Q 8.6 to 8.8: every frame comes out where the twin says, as the twin says."""
    switch = Switch(4, vlan_filtering=filtering)
    twin = Twin(config, filtering)
    for n, one in enumerate(config):
        options = {key: one[key] for key in ("isolated", "flood", "learning")}
        switch.port(n, **options, **one["vlans"])
    for number, step in enumerate(script):
        if isinstance(step, int):
            switch.bed.run_for(step)
            continue
        n, dst, src, tag = step
        body = b"\x88\xb5" + number.to_bytes(46, "big")
        expected = twin.send(n, dst, src, tag, body, switch.bed.now)
        switch.clear()
        frame = dst + src + (b"" if tag is None else b"\x81\x00" + tag.to_bytes(2, "big")) + body
        switch.at[n].send_frame(frame)
        out = {m: [bytes(one) for one in station.received] for m, station in enumerate(switch.at) if station.received}
        assert out == {m: [one] for m, one in expected.items()}
    learnt = [0, 0, 0, 0]
    for table in switch.bridge.fdb.tables.values():
        for entry in table.values():
            learnt[entry.port.number - 1] += 1
    assert learnt == [port.learnt for port in switch.bridge.ports.values()]
    switch.bed.close()


heads = st.sampled_from(
    [
        b"",
        bytes.fromhex("0180c20000000200000001010026424203"),
        bytes.fromhex("0180c2000000020000000101002742420300000202"),
        bytes.fromhex("01005e010203020000000101080046c0002000000000010200000a00000aef01020394040000"),
        bytes.fromhex("33330001000302000000010186dd6000000000200001fe80" + "00" * 13 + "01"),
        bytes.fromhex("ffffffffffff0200000001018100000a88a800078100"),
        bytes.fromhex("02000000010202000000010181000005"),
    ]
)


@settings(max_examples=200)
@given(
    st.booleans(),
    st.sampled_from(["none", "rstp", "stp"]),
    st.lists(st.tuples(st.sampled_from(PORTS), heads, st.binary(max_size=64), st.integers(0, 20)), max_size=20),
)
def test_any_frames(filtering: bool, mode: str, script: list[tuple[int, bytes, bytes, int]]) -> None:
    """Whatever comes in: nothing raises, the accounts balance after each frame, and all goes well with the devices
    above it."""
    switch = Switch(4, vlan_filtering=filtering, stp=mode, mcast_querier=True)
    ns = switch.ns
    ns.add_device("v5", kind="vlan", parent="br0", vid=5)
    ns.add_device("v10", kind="vlan", parent="p3", vid=10)
    ns.add_device("q7", kind="vlan", parent="v10", vid=7, protocol="802.1ad")
    switch.port(2, tagged=[5, 10], storm={"broadcast": 3})
    switch.bed.run_for(40)
    for n, head, tail, later in script:
        switch.at[n].send_frame(head + tail)
        sources, ends = switch.bed.stack.accounts()
        assert sum(sources.values()) == sum(ends.values())
        switch.bed.run_for(later)
    switch.bed.stack.remove_netns("r", now=switch.bed.now)
    assert switch.bed.stack.poll_at() is None
    switch.bed.close()
