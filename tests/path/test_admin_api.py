"""What the admin API answers: records, changes, errors, its own description, metrics and health."""

import errno
import json
import re
from typing import Any

import msgspec
import pytest

from tests.path.admin import CONFIG, Client, asking, serving
from vrouter import records
from vrouter.control import schema
from vrouter.control.endpoints import ENDPOINTS
from vrouter.control.metrics import line
from vrouter.control.openapi import document, operation_id
from vrouter.stack.base.addresses import format_ipv6, link_local_of

NUMBER, TEXT, YES = int, str, bool
MAYBE = (str, type(None))
MAYBE_NUMBER = (int, type(None))
# DESIGN: "JSON of `show` and the API", field by field.
FIELDS: dict[str, dict[str, Any]] = {
    "netns": {"netns": TEXT, "kind": TEXT, "devices": NUMBER, "accept_from": list},
    "devices": {
        "netns": TEXT, "dev": TEXT, "ifindex": NUMBER, "kind": TEXT, "ifname": MAYBE, "mac": TEXT, "mtu": NUMBER,
        "state": TEXT, "error": TEXT, "offload": YES, "rx_packets": NUMBER, "tx_packets": NUMBER, "rx_bytes": NUMBER,
        "tx_bytes": NUMBER, "rx_drops": NUMBER, "tx_drops": NUMBER, "parent": MAYBE, "vid": MAYBE_NUMBER,
        "protocol": MAYBE, "master": MAYBE,
    },
    "addresses": {
        "netns": TEXT, "dev": TEXT, "address": TEXT, "scope": TEXT, "state": TEXT, "family": TEXT, "origin": TEXT,
        "valid_ns": MAYBE_NUMBER, "preferred_ns": MAYBE_NUMBER,
    },
    "neighbors": {
        "netns": TEXT, "dev": TEXT, "address": TEXT, "mac": MAYBE, "state": TEXT, "age_ns": NUMBER, "router": YES,
    },
    "routes": {
        "netns": TEXT, "to": TEXT, "via": MAYBE, "dev": MAYBE, "target_netns": MAYBE, "type": TEXT, "metric": NUMBER,
        "table": TEXT, "proto": TEXT, "scope": TEXT, "src": MAYBE, "mtu": MAYBE_NUMBER,
        "advmss": MAYBE_NUMBER, "onlink": YES, "nhid": MAYBE_NUMBER, "nexthops": (list, type(None)),
        "expires_ns": MAYBE_NUMBER, "pref": MAYBE,
    },
    "crossings": {
        "netns": TEXT, "from": TEXT, "to": TEXT, "kind": TEXT, "accepted": YES, "packets": NUMBER, "bytes": NUMBER,
        "denied": NUMBER,
    },
    "sockets": {
        "netns": TEXT, "proto": TEXT, "state": TEXT, "local": TEXT, "peer": TEXT, "rx_queue": NUMBER,
        "tx_queue": NUMBER,
    },
    "drops": {"netns": TEXT, "dev": MAYBE, "reason": TEXT, "layer": TEXT, "text": TEXT, "count": NUMBER},
    "stats": {"netns": TEXT, "name": TEXT, "value": NUMBER},
}  # fmt: skip
RECORDS = {
    endpoint.path.removeprefix("/v1/"): endpoint.answer.__args__[0]
    for endpoint in ENDPOINTS
    if endpoint.method == "GET" and getattr(endpoint.answer, "__origin__", None) is list
}


async def busy(client: Client, router: Any) -> Any:
    """Give every kind of record something to show; returns the socket that it opened."""
    sock = router["red"].socket(2, 2)
    sock.bind(("10.0.0.1", 5000))
    pinged = await client.ask("POST", "/v1/netns/red/ping", {"dst": "10.0.0.2", "count": 1})
    assert pinged.json["received"] == 1
    denied = await client.ask("POST", "/v1/netns/green/ping", {"dst": "10.200.0.1", "count": 1, "timeout_ns": 10**6})
    assert denied.error[:2] == (422, "EACCES")  # told before there is a packet, as by connect(2): nothing is dropped
    with router["green"].socket(2, 2) as refused, pytest.raises(PermissionError):
        refused.sendto(b"x", ("10.200.0.1", 9))
    return sock


@pytest.mark.parametrize("what", FIELDS)
async def test_records_have_exactly_these_fields(what: str) -> None:
    """The contract's fields, their types and their order; the API, Python and the schema agree."""
    async with asking() as (router, client):
        sock = await busy(client, router)
        router.stack.receive_unmapped(router.now())
        answer = await client.ask("GET", f"/v1/{what}")
        sock.close()
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        rows = answer.json
        assert rows
        for row in rows:
            assert list(row) == list(FIELDS[what])
            assert {name for name, kind in FIELDS[what].items() if not isinstance(row[name], kind)} == set()
            assert not isinstance(row.get("mtu"), bool)
            assert msgspec.to_builtins(msgspec.convert(row, RECORDS[what], strict=True)) == row


async def test_the_python_api_shows_the_same_rows() -> None:
    """`red.routes()` returns records with the JSON's fields."""
    async with asking() as (router, client):
        for what in ("devices", "addresses", "routes", "neighbors"):
            answer = await client.ask("GET", f"/v1/{what}?netns=red")
            assert answer.json == getattr(router["red"], what)()
        for what in FIELDS:
            assert (await client.ask("GET", f"/v1/{what}")).json == getattr(records, what)(router)


async def test_netns_narrows_what_is_shown() -> None:
    """`?netns=` takes one namespace; an unknown one is 404."""
    async with asking() as (router, client):
        rows = (await client.ask("GET", "/v1/addresses?netns=blue")).json
        link_local = format_ipv6(link_local_of(router["blue"].stack.devices["y"].mac))
        assert sorted((row["netns"], row["dev"], row["address"]) for row in rows) == [
            ("blue", "lo", "127.0.0.1/8"),
            ("blue", "lo", "::1/128"),
            ("blue", "y", "10.0.0.2/24"),
            ("blue", "y", f"{link_local}/64"),
        ]
        for what in [*FIELDS, "config"]:
            answer = await client.ask("GET", f"/v1/{what}?netns=grey")
            assert answer.error == (404, "ENOENT", "no namespace 'grey'")


async def test_config_is_the_file_as_json() -> None:
    """`config`: the file as JSON, whole or one namespace of it."""
    async with asking() as (_, client):
        assert (await client.ask("GET", "/v1/config")).json == CONFIG
        one = (await client.ask("GET", "/v1/config?netns=blue")).json
        assert one == {"netns": {"blue": CONFIG["netns"]["blue"]}}
    async with asking(config=None) as (_, client):
        assert (await client.ask("GET", "/v1/config")).json == {}


# -- changes ----------------------------------------------------------------------------------------------------------


async def test_namespaces_are_made_changed_and_removed() -> None:
    """POST 201, PATCH 200, DELETE 204; a child's path is one segment, its slash %2F."""
    async with asking() as (router, client):
        made = await client.ask("POST", "/v1/netns/red%2Fweb", {"accept_from": ["blue"]})
        record = {"netns": "red/web", "kind": "l2", "devices": 1, "accept_from": ["blue"]}
        assert (made.status, made.json) == (201, record)
        again = await client.ask("POST", "/v1/netns/red%2Fweb", {})
        assert again.error == (409, "EEXIST", "namespace 'red/web' exists already")
        orphan = await client.ask("POST", "/v1/netns/grey%2Fweb", {})
        assert orphan.error[:2] == (404, "ENOENT")
        later = await client.ask("POST", "/v1/netns/web", {"kind": "l3"})
        assert later.error == (422, "EOPNOTSUPP", "namespaces of kind l3 are not supported yet")
        changed = await client.ask("PATCH", "/v1/netns/red%2Fweb", {"accept_from": ["*"]})
        assert (changed.status, changed.json["accept_from"]) == (200, ["*"])
        assert router["red/web"].accept_from == {"*"}
        kept = await client.ask("DELETE", "/v1/netns/red")
        assert kept.error == (409, "ENOTEMPTY", "namespace 'red' has children: red/web")
        gone = await client.ask("DELETE", "/v1/netns/red?recursive=true")
        assert (gone.status, gone.body) == (204, b"")
        assert [row["netns"] for row in (await client.ask("GET", "/v1/netns")).json] == ["blue", "green"]


async def test_devices_are_made_set_moved_and_removed() -> None:
    """A device takes the keys of the configuration; a veth's other end is made with it."""
    async with asking() as (router, client):
        body = {"name": "p", "kind": "veth", "peer": {"netns": "/green", "dev": "q"}, "addresses": ["10.7.0.1/24"]}
        made = await client.ask("POST", "/v1/netns/blue/devices", body)
        assert (made.status, made.json["dev"], made.json["kind"], made.json["state"]) == (201, "p", "veth", "up")
        assert "q" in router["green"].stack.devices
        again = await client.ask("POST", "/v1/netns/blue/devices", body)
        assert again.error == (409, "EEXIST", "device 'p' exists already in namespace 'blue'")
        wrong = await client.ask("POST", "/v1/netns/blue/devices", {**body, "name": "r", "adresses": []})
        assert wrong.error[:2] == (400, "EINVAL")
        assert "did you mean 'addresses'" in wrong.error[2] or "did you mean addresses" in wrong.error[2]
        for key in ("netns", "self"):  # no key of a device, however it may be called inside
            wrong = await client.ask("POST", "/v1/netns/blue/devices", {**body, "name": "r", key: "red"})
            assert wrong.error == (400, "EINVAL", f"netns.blue.dev.r.{key}: unknown key")
        later = await client.ask("POST", "/v1/netns/blue/devices", {"name": "r", "kind": "vxlan"})
        assert later.error[:2] == (422, "EOPNOTSUPP")
        down = await client.ask("PATCH", "/v1/netns/blue/devices/p", {"up": False, "mtu": 1400})
        assert (down.status, down.json["state"], down.json["mtu"]) == (200, "down", 1400)
        moved = await client.ask("POST", "/v1/netns/blue/devices/p/move", {"netns": "red", "name": "pp"})
        assert (moved.status, moved.json["netns"], moved.json["dev"]) == (200, "red", "pp")
        taken = await client.ask("POST", "/v1/netns/red/devices/pp/move", {"netns": "blue", "name": "y"})
        assert taken.error[:2] == (409, "EEXIST")
        gone = await client.ask("DELETE", "/v1/netns/red/devices/pp")
        assert gone.status == 204
        assert "q" not in router["green"].stack.devices
        bound = await client.ask("DELETE", "/v1/netns/red/devices/lo")
        assert bound.error == (422, "EOPNOTSUPP", "lo belongs to its namespace")
        missing = await client.ask("DELETE", "/v1/netns/red/devices/pp")
        assert missing.error == (404, "ENODEV", "no device 'pp' in namespace 'red'")


async def test_addresses_routes_and_neighbours_come_and_go() -> None:
    """Each change answers with the record that it made, and the removal finds it again."""
    async with asking() as (_, client):
        ns = "/v1/netns/red"
        made = await client.ask("POST", f"{ns}/addresses", {"dev": "w", "address": "10.5.0.2/24"})
        assert made.json == {
            "netns": "red", "dev": "w", "address": "10.5.0.2/24", "scope": "global", "state": "preferred",
            "family": "inet", "origin": "static", "valid_ns": None, "preferred_ns": None,
        }  # fmt: skip
        assert (await client.ask("POST", f"{ns}/addresses", {"dev": "w", "address": "10.5.0.2/24"})).status == 409
        route = await client.ask("POST", f"{ns}/routes", {"to": "10.9.0.0/16", "via": "10.5.0.1", "metric": 7})
        assert (route.status, route.json) == (
            201,
            {
                "netns": "red", "to": "10.9.0.0/16", "via": "10.5.0.1", "dev": "w", "target_netns": None,
                "type": "unicast", "metric": 7, "table": "main", "proto": "static", "scope": "global", "src": None,
                "mtu": None, "advmss": None, "onlink": False, "nhid": None, "nexthops": None,
                "expires_ns": None, "pref": None,
            },
        )  # fmt: skip
        found = await client.ask("GET", f"{ns}/route?to=10.9.1.1")
        assert (found.json["to"], found.json["dev"], found.json["src"]) == ("10.9.0.0/16", "w", "10.5.0.2")
        far = await client.ask("POST", f"{ns}/routes", {"to": "10.8.0.0/16", "via": "10.99.0.1"})
        assert far.error == (422, "ENETUNREACH", "gateway 10.99.0.1 is not on a link in namespace 'red'")
        assert (await client.ask("DELETE", f"{ns}/routes?to=10.9.0.0%2F16&metric=8")).status == 404
        assert (await client.ask("DELETE", f"{ns}/routes?to=10.9.0.0%2F16&via=10.5.0.1&metric=7")).status == 204
        body = {"dev": "w", "address": "10.5.0.9", "mac": "02:00:00:00:00:09"}
        neighbor = await client.ask("POST", f"{ns}/neighbors", body)
        assert (neighbor.status, neighbor.json["state"], neighbor.json["mac"]) == (201, "PERMANENT", body["mac"])
        assert (await client.ask("DELETE", f"{ns}/neighbors?address=10.5.0.9")).error[2] == "parameter 'dev' is missing"
        assert (await client.ask("DELETE", f"{ns}/neighbors?dev=w&address=10.5.0.9")).status == 204
        assert (await client.ask("DELETE", f"{ns}/neighbors?dev=w&address=10.5.0.9")).status == 404
        assert (await client.ask("DELETE", f"{ns}/neighbors")).status == 204
        assert (await client.ask("DELETE", f"{ns}/addresses?dev=w&address=10.5.0.2%2F24")).status == 204
        assert (await client.ask("DELETE", f"{ns}/addresses?dev=w&address=10.5.0.2%2F24")).status == 404


async def test_route_get_names_a_crossing() -> None:
    """`get` names a crossing and whether it is accepted; a route that lets nothing pass is an answer, none an error."""
    async with asking() as (_, client):
        for netns, accepted in (("red", True), ("green", False)):
            answer = (await client.ask("GET", f"/v1/netns/{netns}/route?to=10.200.1.1")).json
            assert (answer["target_netns"], answer["accepted"], answer["to"]) == ("blue", accepted, "10.200.0.0/16")
        await client.ask("POST", "/v1/netns/red/routes", {"to": "10.66.0.0/16", "type": "prohibit"})
        assert (await client.ask("GET", "/v1/netns/red/route?to=10.66.0.1")).json["type"] == "prohibit"
        assert (await client.ask("GET", "/v1/netns/red/route?to=99.0.0.1")).error[:2] == (422, "ENETUNREACH")
        assert (await client.ask("GET", "/v1/netns/red/route?to=99.0.1")).error == (
            400,
            "EINVAL",
            "'99.0.1' is not an IPv4 address",
        )


async def test_settings_change_all_or_none() -> None:
    """PATCH sysctl: one refused value leaves all as they were; unknown names get a suggestion."""
    async with asking() as (router, client):
        place = "/v1/netns/red/sysctl"
        names = (await client.ask("GET", place)).json
        assert names["net.ipv4.ip_forward"] == 1
        assert list(names) == sorted(names)
        assert (await client.ask("GET", f"{place}?name=net.ipv4.ip_default_ttl")).json == {
            "net.ipv4.ip_default_ttl": 64
        }
        values = {"net.ipv4.ip_default_ttl": 32, "net.ipv4.conf.x.rp_filter": "1"}
        assert (await client.ask("PATCH", place, values)).json == {**values, "net.ipv4.conf.x.rp_filter": 1}
        refused = await client.ask("PATCH", place, {"net.ipv4.ip_default_ttl": 99, "net.ipv4.conf.x.rp_filter": 9})
        assert refused.error[:2] == (400, "EINVAL")
        unknown = await client.ask("PATCH", place, {"net.ipv4.ip_default_ttl": 99, "net.ipv4.ip_forwrd": 1})
        assert unknown.error[:2] == (404, "ENOENT")
        assert "net.ipv4.ip_forward" in unknown.error[2]
        assert router["red"].sysctl["net.ipv4.ip_default_ttl"] == 32


# -- errors -----------------------------------------------------------------------------------------------------------


WRONG = [
    ("GET", "/", None, 404, "ENOENT", "there is no / here; /openapi.json has all paths"),
    ("GET", "/v1", None, 404, "ENOENT", "there is no /v1 here; /openapi.json has all paths"),
    ("GET", "/v1/nothing", None, 404, "ENOENT", "there is no /v1/nothing here; /openapi.json has all paths"),
    ("GET", "/v1/netns//x", None, 404, "ENOENT", "there is no /v1/netns//x here; /openapi.json has all paths"),
    ("PUT", "/v1/netns", {}, 405, "EOPNOTSUPP", "/v1/netns knows GET, HEAD, not PUT"),
    ("GET", "/v1/netns/red", None, 405, "EOPNOTSUPP", "/v1/netns/red knows POST, PATCH, DELETE, not GET"),
    ("POST", "/v1/netns/grey", None, 411, "EINVAL", "POST /v1/netns/{netns} needs a body with its length"),
    ("GET", "/v1/routes?net=red", None, 400, "EINVAL", "unknown parameter 'net': there are netns, family, table"),
    ("GET", "/healthz?x=1", None, 400, "EINVAL", "unknown parameter 'x': it takes none"),
    ("GET", "/v1/routes?netns=", None, 400, "EINVAL", "parameter 'netns' is empty"),
    ("GET", "/v1/routes?netns=red&netns=blue", None, 400, "EINVAL", "parameter 'netns' is given twice"),
    ("GET", "/v1/routes?netns", None, 400, "EINVAL", "the query is malformed"),
    ("GET", "/v1/capture?count=x", None, 400, "EINVAL", "parameter 'count' is a number, not 'x'"),
    ("GET", "/v1/capture?count=0", None, 400, "EINVAL", "a capture of 0 packets"),
    ("GET", "/v1/capture?snaplen=1", None, 400, "EINVAL", "snaplen is 14 to 262144 bytes, not 1"),
    ("GET", "/v1/capture?dev=nope", None, 404, "ENODEV", "no device 'nope' in any namespace"),
    ("GET", "/v1/capture?dev=y&netns=red", None, 404, "ENODEV", "no device 'y' in namespace 'red'"),
    (
        "GET", "/v1/capture?filter=prot%2053", None, 400, "EINVAL",
        "filter, character 1: 'prot' is no word of the filter language (did you mean port?)",
    ),
    ("DELETE", "/v1/netns/red?recursive=1", None, 400, "EINVAL", "parameter 'recursive' is true or false, not '1'"),
    ("DELETE", "/v1/netns/red/routes", None, 400, "EINVAL", "parameter 'to' is missing"),
    ("GET", "/v1/netns/%FF/route?to=1.1.1.1", None, 400, "EINVAL", "'%FF' is not UTF-8 behind its percent signs"),
    ("GET", "/healthz", {}, 400, "EINVAL", "GET /healthz takes no body"),
    ("POST", "/v1/netns/red/ping", {}, 400, "EINVAL", "the body: Object missing required field `dst`"),
    ("POST", "/v1/netns/red/ping", [], 400, "EINVAL", "the body: Expected `object`, got `array`"),
    (
        "POST", "/v1/netns/red/ping", {"dst": "10.0.0.2", "cuont": 1}, 400, "EINVAL",
        "the body: Object contains unknown field `cuont`",
    ),
    (
        "POST", "/v1/netns/red/ping", {"dst": "10.0.0.2", "count": "1"}, 400, "EINVAL",
        "the body: Expected `int`, got `str` - at `$.count`",
    ),
    ("POST", "/v1/netns/red/ping", {"dst": "10.0.0"}, 400, "EINVAL", "'10.0.0' is not an IPv4 address"),
    ("POST", "/v1/netns/red/ping", {"dst": "99.0.0.1"}, 422, "ENETUNREACH", "Network is unreachable"),
    (
        "POST", "/v1/netns/red/ping", {"dst": "10.0.0.2", "src": "10.0.0.9"}, 404, "EADDRNOTAVAIL",
        "Cannot assign requested address",
    ),
    (
        "POST", "/v1/netns/red/routes", {"to": "10.9.0.1/16"}, 400, "EINVAL",
        "'10.9.0.1/16' has host bits set; the network is 10.9.0.0/16",
    ),
    ("POST", "/v1/netns/red/routes", {"to": "10.9.0.0/16", "netns": "grey"}, 404, "ENOENT", "no namespace 'grey'"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "body", "status", "error", "message"), WRONG)
async def test_errors_say_what_is_wrong(
    method: str, target: str, body: Any, status: int, error: str, message: str
) -> None:
    """400, 404, 405, 409, 411, 422 with {error, message}; the error is an errno's name; the connection goes on."""
    async with asking() as (_, client):
        answer = await client.ask(method, target, body)
        assert answer.error == (status, error, message)
        assert hasattr(errno, error)
        if status == 405:
            assert answer.headers["allow"] == message.partition(" knows ")[2].partition(", not ")[0]
        assert (await client.ask("GET", "/healthz")).status == 200


async def test_a_body_that_is_no_json() -> None:
    """400 for bytes that are no JSON, not UTF-8, or nested without end."""
    async with asking() as (_, client):
        for body in (b"", b"{", b"\xff", b"[" * 100_000):
            await client.send("POST", "/v1/netns/red/ping", body)
            answer = await client.answer()
            assert answer.error[:2] == (400, "EINVAL")
            client.http.start_next_cycle()


# -- description, metrics, health -------------------------------------------------------------------------------------


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return found + [one for value in node.values() for one in _references(value)]
    return [one for value in node for one in _references(value)] if isinstance(node, list) else []


def test_openapi_describes_the_table_of_endpoints() -> None:
    """OpenAPI 3.1: every endpoint once, path parameters declared, every reference there, operation ids unique."""
    found = document()
    assert found["openapi"] == "3.1.0"
    assert set(found) == {"openapi", "info", "paths", "components"}
    operations = {
        (method.upper(), path): operation for path, item in found["paths"].items() for method, operation in item.items()
    }
    assert set(operations) == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert len(operations) == len(ENDPOINTS)
    assert len({operation["operationId"] for operation in operations.values()}) == len(ENDPOINTS)
    for endpoint in ENDPOINTS:
        operation = operations[endpoint.method, endpoint.path]
        assert operation["operationId"] == operation_id(endpoint)
        parameters = operation.get("parameters", [])
        in_path = [one["name"] for one in parameters if one["in"] == "path" and one["required"]]
        assert in_path == re.findall(r"\{(\w+)\}", endpoint.path)
        assert [one["name"] for one in parameters if one["in"] == "query"] == [one.name for one in endpoint.query]
        assert ("requestBody" in operation) is (endpoint.body is not None or endpoint.pieces != "")
        success = operation["responses"][str(endpoint.status)]
        assert ("content" in success) is (endpoint.status != 204)
        assert list(success.get("content", {})) == ([] if endpoint.status == 204 else [endpoint.media])
        assert operation["responses"]["default"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/Error"
        }
    schemas = found["components"]["schemas"]
    for reference in _references(found):
        assert reference.removeprefix("#/components/schemas/") in schemas
    assert json.loads(json.dumps(found)) == found


async def test_openapi_is_served() -> None:
    """`/openapi.json` is that document."""
    async with asking() as (_, client):
        assert (await client.ask("GET", "/openapi.json")).json == document()


SAMPLE = re.compile(
    r'(?P<name>[a-z_]+)(?:\{(?P<labels>(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (?P<value>-?[0-9.]+)'
)


def parse_metrics(text: str) -> dict[str, dict[str, float]]:
    """{metric: {labels as text: value}} of Prometheus's text format, strictly."""
    found: dict[str, dict[str, float]] = {}
    current = ""
    assert text.endswith("\n")
    for one in text.splitlines():
        if one.startswith("# HELP "):
            current = one.split()[2]
            assert current not in found
            found[current] = {}
        elif one.startswith("# TYPE "):
            assert one.split()[2:] in ([current, "counter"], [current, "gauge"])
            assert (one.split()[3] == "counter") is current.endswith("_total")
        else:
            match = SAMPLE.fullmatch(one)
            assert match, one
            assert match["name"] == current
            labels = match["labels"] or ""
            assert labels not in found[current]
            found[current][labels] = float(match["value"])
    return found


async def test_metrics_say_what_the_records_say() -> None:
    """`/metrics`: counters of devices and crossings, drops that are not zero, numbers of things."""
    async with asking() as (router, client):
        sock = await busy(client, router)
        answer = await client.ask("GET", "/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = parse_metrics(answer.body.decode())
        drops = {
            f'netns="{row["netns"]}",dev="{row["dev"] or ""}",reason="{row["reason"]}"': float(row["count"])
            for row in records.drops(router)
        }
        assert drops
        assert found["vrouter_drops_total"] == drops
        for row in records.devices(router):
            labels = f'netns="{row["netns"]}",dev="{row["dev"]}"'
            assert found["vrouter_device_receive_packets_total"][labels] == row["rx_packets"]
            assert found["vrouter_device_transmit_bytes_total"][labels] == row["tx_bytes"]
            assert found["vrouter_device_up"][labels] == 1
        assert found["vrouter_crossing_packets_total"]['from="red",to="blue",kind="veth"'] > 0
        assert found["vrouter_crossing_denied_total"]['from="green",to="blue",kind="route"'] == 1
        assert found["vrouter_namespaces"] == {"": 3}
        assert found["vrouter_ready"] == {"": 1}
        assert found["vrouter_sockets"] == {'netns="red",proto="udp"': 1}
        assert found["vrouter_neighbors"]['netns="red",state="REACHABLE"'] == 1
        assert found["vrouter_routes"]['netns="red",family="inet"'] == 2
        for what in ("rules", "groups"):
            assert sum(found[f"vrouter_{what}"].values()) == len(getattr(records, what)(router))
        for family in ("inet", "inet6"):
            count = sum(row["family"] == family and row["netns"] == "red" for row in records.addresses(router))
            assert found["vrouter_addresses"][f'netns="red",family="{family}",state="preferred"'] == count
        assert found["vrouter_stat_total"]['netns="red",name="IcmpOutEchos"'] == 1
        assert found["process_resident_memory_bytes"][""] > 1_000_000
        assert found["process_cpu_seconds_total"][""] > 0
        sock.close()


def test_labels_are_escaped() -> None:
    """Prometheus text format: backslash, quote and line feed of a label's value."""
    text = line("x_total", {"a": 'b\\c"d\ne'}, 1)
    assert text == 'x_total{a="b\\\\c\\"d\\ne"} 1\n'
    assert SAMPLE.fullmatch(text.rstrip("\n"))


async def test_health_and_readiness() -> None:
    """`/healthz` = the loop lives; `/readyz` is 503 until every configured device is open."""
    async with asking() as (router, client):
        assert (await client.ask("GET", "/healthz")).json == {"status": "ok", "waiting": []}
        assert (await client.ask("GET", "/readyz")).json == {"status": "ok", "waiting": []}
        await router.stop()
        answer = await client.ask("GET", "/readyz")
        assert (answer.status, answer.json["status"]) == (503, "waiting")
        assert msgspec.convert(answer.json, schema.Health).waiting == []


async def test_the_tcp_listener_tells_numbers_only() -> None:
    """The optional TCP listener: /metrics, /healthz, /readyz and nothing that could be changed or read there."""
    async with serving(metrics="127.0.0.1:0") as (_, server, _):
        assert server.tcp_address is not None
        client = await Client.connect(server.tcp_address)
        for path in ("/metrics", "/healthz", "/readyz"):
            assert (await client.ask("GET", path)).status == 200
        for method, path in (
            ("GET", "/v1/netns"),
            ("GET", "/openapi.json"),
            ("GET", "/events"),
            ("DELETE", "/v1/netns/red"),
        ):
            assert (await client.ask(method, path)).error[:2] == (404, "ENOENT")
        client.close()


async def test_head_answers_like_get_without_a_body() -> None:
    """RFC 9110 9.3.2: HEAD has the fields of GET and no content."""
    async with asking() as (_, client):
        got = await client.ask("GET", "/v1/netns")
        headed = await client.ask("HEAD", "/v1/netns")
        assert (headed.status, headed.body) == (200, b"")
        assert headed.headers["content-length"] == got.headers["content-length"] == str(len(got.body))
