"""The admin API's routes, rules, next-hop objects, bridges, groups and advertisements, of both families."""

import asyncio
import contextlib
import errno
import json
import os
from typing import Any

import h11
import msgspec
import pytest

import vrouter
from tests.path.admin import Client, asking
from vrouter.control.connection import Limits
from vrouter.control.endpoints import ENDPOINTS
from vrouter.control.streaming import ROWS_PER_PIECE
from vrouter.stack.l3.route_load import BUDGET

RED, BLUE = "/v1/netns/red", "/v1/netns/blue"
RECORDS = {
    endpoint.path.removeprefix("/v1/"): endpoint.answer.__args__[0]
    for endpoint in ENDPOINTS
    if endpoint.method == "GET" and getattr(endpoint.answer, "__origin__", None) is list
}


async def done(client: Client, method: str, target: str, body: Any = None, status: int = 0) -> Any:
    """What a request that succeeds answers."""
    answer = await client.ask(method, target, body)
    assert answer.status == (status or {"POST": 201, "DELETE": 204}.get(method, 200)), answer.body
    return answer.json if answer.body else None


async def rows(client: Client, what: str, query: str = "netns=red") -> list[dict[str, Any]]:
    """The rows of one kind, which are exactly what the schema says."""
    found = await done(client, "GET", f"/v1/{what}?{query}")
    kind = RECORDS[what]
    msgspec.convert(found, list[kind], strict=True)
    for row in found:
        assert list(row) == [field.encode_name for field in msgspec.structs.fields(kind)]
    return list(found)


async def test_ipv6_addresses_routes_and_neighbours_come_and_go() -> None:
    """The verbs of IPv4 with IPv6's addresses; `family` chooses among the rows."""
    async with asking() as (router, client):
        made = await done(client, "POST", f"{RED}/addresses", {"dev": "x", "address": "fd00:1:0::1/64"})
        assert (made["address"], made["family"], made["origin"]) == ("fd00:1::1/64", "inet6", "static")
        await router["red"].wait_addresses()
        listed = [row["address"] for row in await rows(client, "addresses", "netns=red&family=6") if row["dev"] == "x"]
        assert listed[-1] == "fd00:1::1/64"
        assert all(":" not in row["address"] for row in await rows(client, "addresses", "netns=red&family=4"))
        route = await done(
            client, "POST", f"{RED}/routes", {"to": "fd00:9::/32", "via": "fe80::9", "dev": "x", "mtu": 1400}
        )
        assert (route["to"], route["via"], route["dev"], route["mtu"]) == ("fd00:9::/32", "fe80::9", "x", 1400)
        assert route["metric"] == 1024
        found = await rows(client, "routes", "netns=red&family=6")
        assert route in found
        assert route not in await rows(client, "routes", "netns=red&family=4")
        way = await done(client, "GET", f"{RED}/route?to=fd00:9::5")
        assert (way["to"], way["via"], way["src"]) == ("fd00:9::/32", "fe80::9", "fd00:1::1")
        await done(client, "POST", f"{RED}/routes", {"to": "fd00:8::/32", "type": "prohibit"})
        assert (await done(client, "GET", f"{RED}/route?to=fd00:8::5"))["type"] == "prohibit"
        await done(client, "DELETE", f"{RED}/routes?to=fd00:9::%2F32&via=fe80::9&dev=x")
        gone = await client.ask("GET", f"{RED}/route?to=fd00:9::5")
        assert gone.error[:2] == (422, "ENETUNREACH")
        body = {"dev": "x", "address": "fe80::9", "mac": "02:00:00:00:00:09"}
        assert (await done(client, "POST", f"{RED}/neighbors", body))["state"] == "PERMANENT"
        proxy = await done(client, "POST", f"{RED}/proxies", {"dev": "x", "address": "fd00:1::77"})
        assert (proxy["state"], proxy["mac"]) == ("PROXY", None)
        again = await client.ask("POST", f"{RED}/proxies", {"dev": "x", "address": "fd00:1::77"})
        assert again.error[:2] == (409, "EEXIST")
        assert len(await rows(client, "neighbors", "netns=red&family=6")) == 2
        await done(client, "DELETE", f"{RED}/proxies?dev=x&address=fd00:1::77")
        await done(client, "DELETE", f"{RED}/neighbors?dev=x&address=fe80::9")
        v4 = await client.ask("POST", f"{RED}/proxies", {"dev": "x", "address": "10.0.0.7"})
        assert v4.error[:2] == (422, "EOPNOTSUPP")
        await done(client, "DELETE", f"{RED}/addresses?dev=x&address=fd00:1::1%2F64")


async def test_a_ping_to_a_link_local_address() -> None:
    """RFC 4007 11.2: the zone stands behind a percent sign, by the device's name."""
    async with asking() as (router, client):
        local = next(
            row for row in router["blue"].addresses() if row["dev"] == "y" and row["address"].startswith("fe80")
        )
        address = local["address"].partition("/")[0]
        answer = await client.ask("POST", f"{RED}/ping", {"dst": f"{address}%x", "count": 1})
        assert answer.json["received"] == 1
        assert answer.json["replies"][0]["from"] == f"{address}%x"


async def test_rules_choose_tables() -> None:
    """`rule add from … table N`, a route in that table, and what `route get` says then; ENOENT for none that fits."""
    async with asking() as (_, client):
        await done(client, "POST", f"{RED}/routes", {"to": "default", "via": "10.0.0.2", "table": 100})
        rule = await done(client, "POST", f"{RED}/rules", {"from": "10.0.0.1/32", "table": 100, "priority": 50})
        assert (rule["priority"], rule["from"], rule["table"], rule["action"]) == (50, "10.0.0.1", "100", "table")
        assert [row["priority"] for row in await rows(client, "rules", "netns=red&family=4")] == [0, 50, 32766, 32767]
        way = await done(client, "GET", f"{RED}/route?to=9.9.9.9&from=10.0.0.1")
        assert (way["table"], way["via"]) == ("100", "10.0.0.2")
        assert (await client.ask("GET", f"{RED}/route?to=9.9.9.9")).error[1] == "ENETUNREACH"
        assert [row["to"] for row in await rows(client, "routes", "netns=red&table=100")] == ["default"]
        tables = {row["table"] for row in await rows(client, "routes", "netns=red&table=all")}
        assert tables >= {"100", "main", "local"}
        six = await done(client, "POST", f"{RED}/rules", {"family": "inet6", "mark": "0x1/0xff", "action": "prohibit"})
        assert (six["family"], six["mark"], six["action"], six["table"]) == ("inet6", "0x1/0xff", "prohibit", None)
        await done(client, "DELETE", f"{RED}/rules?priority=50")
        assert (await client.ask("DELETE", f"{RED}/rules?priority=50")).error[:2] == (404, "ENOENT")
        assert (await client.ask("POST", f"{RED}/rules", {"form": "10.0.0.0/8"})).error[:2] == (400, "EINVAL")


async def test_nexthop_objects_are_shared_and_replaced() -> None:
    """A route by an object follows when the object changes, and goes with it."""
    async with asking() as (_, client):
        made = await done(client, "POST", f"{RED}/nexthops", {"id": 5, "via": "10.0.0.2"})
        assert (made["id"], made["via"], made["dev"], made["group"]) == (5, "10.0.0.2", "x", None)
        await done(client, "POST", f"{RED}/routes", {"to": "10.7.0.0/16", "nhid": 5})
        await done(client, "POST", f"{RED}/nexthops", {"id": 5, "via": "10.0.0.3", "replace": True})
        assert (await done(client, "GET", f"{RED}/route?to=10.7.0.1"))["via"] == "10.0.0.3"
        await done(client, "POST", f"{RED}/nexthops", {"id": 6, "via": "10.0.0.4"})
        group = await done(client, "POST", f"{RED}/nexthops", {"id": 9, "group": [{"id": 5, "weight": 3}, {"id": 6}]})
        assert group["group"] == [{"id": 5, "weight": 3}, {"id": 6, "weight": 1}]
        assert [row["id"] for row in await rows(client, "nexthops")] == [5, 6, 9]
        await done(client, "DELETE", f"{RED}/nexthops?id=5")
        assert all(row["to"] != "10.7.0.0/16" for row in await rows(client, "routes"))
        assert (await client.ask("DELETE", f"{RED}/nexthops?id=5")).error[:2] == (404, "ENOENT")


async def test_several_next_hops_and_replacement() -> None:
    """`nexthops` with weights; `replace` takes the place of the route of the same prefix and metric."""
    async with asking() as (_, client):
        hops = [{"via": "10.0.0.2", "weight": 3}, {"via": "10.0.0.3", "dev": "x"}]
        made = await done(client, "POST", f"{RED}/routes", {"to": "10.6.0.0/16", "nexthops": hops})
        assert made["nexthops"] == [
            {"via": "10.0.0.2", "dev": "x", "weight": 3},
            {"via": "10.0.0.3", "dev": "x", "weight": 1},
        ]
        await done(client, "POST", f"{RED}/routes", {"to": "10.6.0.0/16", "via": "10.0.0.4", "replace": True})
        assert [row["via"] for row in await rows(client, "routes") if row["to"] == "10.6.0.0/16"] == ["10.0.0.4"]


async def test_ports_bridges_vlans_and_stations() -> None:
    """A bridge and a vlan, its ports by `master`, VLANs by `vlans`, a static entry; each is shown."""
    async with asking() as (_, client):
        made = await done(client, "POST", f"{RED}/devices", {"name": "br0", "kind": "bridge", "stp": "stp"})
        assert (made["kind"], made["state"]) == ("bridge", "no-carrier")
        tag = await done(client, "POST", f"{RED}/devices", {"name": "v10", "kind": "vlan", "parent": "x", "vid": 10})
        assert (tag["parent"], tag["vid"], tag["protocol"]) == ("x", 10, "802.1Q")
        port = await done(client, "PATCH", f"{RED}/devices/w", {"master": "br0", "cost": 7, "isolated": True})
        assert port["master"] == "br0"
        bridge = await done(
            client, "PATCH", f"{RED}/devices/br0", {"stp": "rstp", "priority": 4096, "vlan_filtering": True}
        )
        assert bridge["kind"] == "bridge"
        (row,) = await rows(client, "bridges")
        assert (row["stp"], row["priority"], row["vlan_filtering"], row["ports"]) == ("rstp", 4096, True, ["w"])
        vlans = await done(client, "POST", f"{RED}/devices/w/vlans", {"vids": ["10-12"]})
        assert (vlans["pvid"], vlans["untagged"], vlans["tagged"]) == (1, [1], [10, 11, 12])
        vlans = await done(client, "POST", f"{RED}/devices/w/vlans", {"vids": [20], "pvid": True, "untagged": True})
        assert (vlans["pvid"], vlans["untagged"]) == (20, [1, 20])
        await done(client, "DELETE", f"{RED}/devices/w/vlans?vid=11-20")
        (row,) = await rows(client, "ports")
        assert (row["pvid"], row["untagged"], row["tagged"]) == (0, [1], [10])
        assert (row["cost"], row["isolated"]) == (7, True)
        assert (await client.ask("DELETE", f"{RED}/devices/w/vlans?vid=99")).error[:2] == (404, "ENOENT")
        own = await done(client, "POST", f"{RED}/devices/br0/vlans", {"vids": [10]})
        assert own["tagged"] == [10]
        station = await done(client, "POST", f"{RED}/fdb", {"mac": "02:00:00:00:00:99", "dev": "w", "vlan": 10})
        assert (station["bridge"], station["state"], station["vlan"]) == ("br0", "static", 10)
        assert station in await rows(client, "fdb")
        await done(client, "DELETE", f"{RED}/fdb?mac=02:00:00:00:00:99&dev=w")
        assert (await client.ask("DELETE", f"{RED}/fdb?mac=02:00:00:00:00:99&dev=w")).error[:2] == (404, "ENOENT")
        assert await rows(client, "mdb") == []
        metrics = (await client.ask("GET", "/metrics")).body.decode()
        assert 'vrouter_bridge_port_forwarding{netns="red",bridge="br0",dev="w"}' in metrics
        await done(client, "PATCH", f"{RED}/devices/w", {"master": None, "mac": "02:00:00:00:00:55", "mtu": 1400})
        (row,) = [row for row in await rows(client, "devices") if row["dev"] == "w"]
        assert (row["master"], row["mac"], row["mtu"]) == (None, "02:00:00:00:00:55", 1400)
        wrong = await client.ask("PATCH", f"{RED}/devices/w", {"cost": 5})
        assert wrong.error == (422, "EINVAL", "device 'w' is no port of a bridge")


async def test_a_tag_given_to_another_namespace() -> None:
    """`ingress`: accepted by the other side, a vlan device there; refused where it is not."""
    async with asking() as (_, client):
        body = {"dev": "x", "vid": 200, "netns": "blue", "name": "lan200"}
        made = await done(client, "POST", f"{RED}/ingress", body)
        assert made == {
            "netns": "blue", "dev": "lan200", "parent": "x", "parent_netns": "red", "vid": 200, "protocol": "802.1Q",
        }  # fmt: skip
        assert await rows(client, "vlans", "netns=blue") == [made]
        refused = await client.ask("POST", f"{RED}/ingress", {**body, "netns": "green"})
        assert refused.error[:2] == (422, "EACCES")


async def test_groups_queriers_and_multicast_routes() -> None:
    """What is joined, who asks, who listens, and what is forwarded where."""
    async with asking() as (_, client):
        queriers = await done(client, "PATCH", f"{RED}/devices/x/querier", {"igmp": True})
        assert [(row["dev"], row["protocol"]) for row in queriers] == [("x", "IGMP")]
        assert len(await rows(client, "queriers")) == 1
        assert await rows(client, "listeners") == []
        assert {row["group"] for row in await rows(client, "groups", "netns=red&family=4")} >= {"224.0.0.1"}
        assert all(":" in row["group"] for row in await rows(client, "groups", "netns=red&family=6"))
        body = {"group": "239.1.1.1", "iif": "x", "oifs": [{"dev": "w", "ttl": 4}], "source": "10.0.0.2"}
        made = await done(client, "POST", f"{RED}/mroutes", body)
        assert (made["source"], made["oifs"], made["proto"]) == ("10.0.0.2", [{"dev": "w", "ttl": 4}], "static")
        six = await done(client, "POST", f"{RED}/mroutes", {"group": "ff05::7", "iif": "x", "oifs": ["w"]})
        assert await rows(client, "mroutes", "netns=red&family=6") == [six]
        await done(client, "DELETE", f"{RED}/mroutes?group=239.1.1.1&source=10.0.0.2")
        assert (await client.ask("DELETE", f"{RED}/mroutes?group=239.1.1.1")).error[:2] == (404, "ENOENT")
        await done(client, "PATCH", f"{RED}/multicast", {"proxy": {"upstream": "x", "downstream": ["w"]}}, 204)
        assert {row["dev"] for row in await rows(client, "queriers")} == {"x", "w"}
        await done(client, "PATCH", f"{RED}/multicast", {"proxy": None, "mdns": ["x", "w"]}, 204)
        assert {row["dev"] for row in await rows(client, "queriers")} == {"x"}


async def test_a_router_advertises_and_another_learns() -> None:
    """RFC 4861 6.2: what is configured is shown here, and as a default router, an address and routes over there."""
    async with asking() as (router, client):
        await done(client, "PATCH", f"{RED}/sysctl", {"net.ipv6.conf.all.forwarding": 1})
        await done(client, "POST", f"{RED}/addresses", {"dev": "x", "address": "fd00:1::1/64"})
        await router["red"].set_device("x")
        await done(client, "PATCH", f"{BLUE}/devices/y", {"autoconf": True})
        red = router["red"].stack
        wrong = await client.ask("PUT", f"{RED}/devices/x/ra", {"lifetme": 5})
        assert wrong.error[:2] == (400, "EINVAL")
        assert "lifetme" in wrong.error[2]
        conf = {"preference": "high", "rdnss": ["fd00:1::53"], "dnssl": ["lab.test"]}
        assert (await done(client, "PUT", f"{RED}/devices/x/ra", conf))["preference"] == "high"
        assert red.devices["x"].ready
        async with asyncio.timeout(30):
            while not (found := await rows(client, "routers", "netns=blue")):
                await router.driver.next_poll()
        assert [(row["dev"], row["preference"], row["dns"], row["search"]) for row in found] == [
            ("y", "high", ["fd00:1::53"], ["lab.test"])
        ]
        (advert,) = await rows(client, "adverts")
        assert (advert["state"], advert["preference"]) == ("advertising", "high")
        assert [one["prefix"] for one in advert["prefixes"]] == ["fd00:1::/64"]
        routes = {row["to"]: row for row in await rows(client, "routes", "netns=blue&family=6") if row["proto"] == "ra"}
        assert (routes["default"]["via"], routes["default"]["pref"]) == (found[0]["address"], "high")
        assert 0 < routes["default"]["expires_ns"] <= 1800 * 10**9
        assert routes["fd00:1::/64"]["via"] is None
        made = [row for row in await rows(client, "addresses", "netns=blue") if row["origin"] == "ra"]
        assert [row["address"].startswith("fd00:1:") for row in made] == [True]
        assert 0 < made[0]["preferred_ns"] < made[0]["valid_ns"]
        await done(client, "DELETE", f"{RED}/devices/x/ra")
        assert await rows(client, "adverts") == []


# -- full tables ------------------------------------------------------------------------------------------------------


async def send_lines(client: Client, pieces: list[bytes], query: str = "") -> Any:
    """POST them in these pieces, chunked."""
    headers = [("Host", "test"), ("Transfer-Encoding", "chunked")]
    request = h11.Request(method="POST", target=f"{RED}/routes/load{query}", headers=headers)
    for event in (request, *(h11.Data(data=piece) for piece in pieces), h11.EndOfMessage()):
        client.writer.write(client.http.send(event) or b"")
        await client.writer.drain()
    answer = await client.answer()
    client.http.start_next_cycle()
    return answer


async def turn() -> None:
    """One turn of the loop."""
    await asyncio.sleep(0)


async def test_routes_are_loaded_from_lines_in_any_pieces() -> None:
    """All at once or none: each wrong line is told with its number, and nothing has changed then."""
    async with asking() as (router, client):
        text = b"# a comment\nroute add 10.60.0.0/16 via 10.0.0.2\n\nblackhole fd60::/16\n10.61.0.0/16 via 10.0.0.3"
        answer = await send_lines(client, [text[:9], text[9:50], text[50:]])
        assert (answer.status, answer.json["routes"], answer.json["replace"]) == (200, 3, False)
        loaded = {row["to"] for row in router["red"].routes()}
        assert loaded >= {"10.60.0.0/16", "10.61.0.0/16", "fd60::/16"}
        wrong = await send_lines(
            client, [b"10.62.0.0/16 via 10.0.0.2\n10.63.0.1/16 via 10.0.0.2\nroute add nonsense dev x\n"]
        )
        assert (wrong.status, wrong.json["error"]) == (400, "EINVAL")
        assert [one["line"] for one in wrong.json["problems"]] == [2, 3]
        assert {row["to"] for row in router["red"].routes()} == loaded
        replaced = await send_lines(client, [b"route add 10.64.0.0/16 via 10.0.0.2\n"], "?replace=true")
        assert replaced.json["routes"] == 1
        statics = [row["to"] for row in router["red"].routes(family=4) if row["proto"] == "static"]
        assert statics == ["10.64.0.0/16"]


async def test_a_load_that_breaks_off_changes_nothing() -> None:
    """A client that goes in the middle leaves no route behind, and the next load is let in."""
    async with asking(Limits(request_s=5)) as (router, client):
        before = router["red"].routes()
        breaking = await Client.connect(client.place)
        breaking.writer.write(f"POST {RED}/routes/load HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n".encode())
        breaking.writer.write(b"route add 10.60.0.0/16 via 10.0.0.2\n")
        async with asyncio.timeout(10):
            while not router["red"].loading:
                await turn()
            busy = await client.ask("POST", f"{RED}/routes/load", [1])
            assert busy.error[:2] == (409, "EBUSY")
            breaking.close()
            while router["red"].loading:
                await turn()
        assert router["red"].routes() == before


async def test_a_full_table_is_loaded_and_shown_while_the_loop_goes_on() -> None:
    """Loading, showing as an array and showing as lines take many turns of the loop, in which others have theirs; every
    route comes once."""
    count = 60_000
    lines = [f"10.{n >> 8}.{n & 255}.0/25 via 10.0.0.2\n" for n in range(256, 256 + count)]
    async with asking() as (router, client):
        turns = 0

        async def watch() -> None:
            nonlocal turns
            while True:
                turns += 1
                await turn()

        watcher = asyncio.create_task(watch())
        loaded = await router["red"].load_routes(lines)
        assert loaded.routes == count
        assert turns >= count // BUDGET
        for accept in ("*/*", "application/x-ndjson"):
            turns = 0
            answer = await client.ask("GET", "/v1/routes?netns=red&family=4", Accept=accept)
            shown = answer.json if accept == "*/*" else [json.loads(line) for line in answer.body.splitlines()]
            assert len(shown) == count + 2
            assert len({row["to"] for row in shown}) == count + 2
            assert turns >= count // ROWS_PER_PIECE
        watcher.cancel()


async def test_python_loads_from_a_file_and_says_which_lines_are_wrong(tmp_path: Any) -> None:
    """ConfigError with file and line; FileNotFoundError; EBUSY for two at a time."""
    async with asking() as (router, _):
        red = router["red"]
        file = tmp_path / "routes"
        file.write_text("10.60.0.0/16 via 10.0.0.2\nnonsense\n")
        with pytest.raises(vrouter.ConfigError) as caught:
            await red.load_routes(file)
        assert [(one.file, one.line) for one in caught.value.problems] == [(str(file), 2)]
        with pytest.raises(FileNotFoundError):
            await red.load_routes(tmp_path / "nothing")
        results = await asyncio.gather(
            red.load_routes(["10.60.0.0/16 via 10.0.0.2"]), red.load_routes([]), return_exceptions=True
        )
        assert isinstance(results[1], OSError)
        assert isinstance(results[0], tuple)
        with pytest.raises(ValueError, match="a line has more than 65536 bytes"):
            await red.load_routes(["x" * 70_000])


async def test_a_load_whose_namespace_goes() -> None:
    """ECANCELED, whatever is wrong with its lines by then; the file is closed when it is told."""
    async with asking() as (router, _):
        red = router["red"]
        many = [f"route add 60.{at >> 8}.{at & 255}.0/24 via 10.0.0.2" for at in range(20 * BUDGET)]
        loading = asyncio.create_task(red.load_routes(many))
        await asyncio.sleep(0)  # it begins
        await asyncio.sleep(0)
        assert red.loading
        await router.remove_netns("red")
        with pytest.raises(OSError, match="namespace 'red' was removed meanwhile") as caught:
            await loading
        assert caught.value.errno == errno.ECANCELED


def opened_files() -> set[str]:
    """The paths of what this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return found


async def test_a_load_that_fails_closes_its_source(tmp_path: Any) -> None:
    """What is wrong in the middle leaves no file open."""
    async with asking() as (router, _):
        file = tmp_path / "routes"
        file.write_text("x" * (1 << 20))
        with pytest.raises(ValueError, match="a line has more than 65536 bytes") as caught:
            await router["red"].load_routes(file)
        assert caught.value.__traceback__ is not None  # whose frames hold the source
        assert str(file) not in opened_files()
