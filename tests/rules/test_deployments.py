"""What is ready to run stays so: the configurations are valid, and what the README quotes of them is what they say."""

import re
import tomllib

import pytest

from tests.rules.tree import ROOT
from vrouter import config

CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
# green's routes are there to be refused, and `vrouter check` says that they will be.
WARNINGS = {
    "overlapping-tenants.toml": [
        (
            "netns.green.route[1].netns",
            "'red' does not accept 'green', so these packets will be dropped (CROSSING_DENIED)",
        ),
        (
            "netns.green.route[2].netns",
            "'blue' does not accept 'green', so these packets will be dropped (CROSSING_DENIED)",
        ),
    ]
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_ready_configurations_are_valid(path) -> None:
    """`vrouter check` finds nothing in a ready deployment, but what it is meant to show."""
    found = [(problem.key, problem.message) for problem in config.load(path).warnings]
    assert found == WARNINGS.get(path.name, [])


def test_the_readme_lists_every_configuration() -> None:
    """Each ready configuration is linked from the README."""
    readme = (ROOT / "README.md").read_text()
    assert [path.name for path in CONFIGS if f"(configs/{path.name})" not in readme] == []


def test_the_readme_quotes_the_router_as_it_is() -> None:
    """The configuration in the README is configs/router.toml."""
    quoted = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert [tomllib.loads(text) for text in quoted] == [tomllib.loads((ROOT / "configs/router.toml").read_text())]


def test_tenants_overlap_completely() -> None:
    """Equal subnets, equal router and client addresses, and one unique address each: what the deployment shows."""
    tenants = config.load(ROOT / "configs/overlapping-tenants.toml").netns
    routers = {str(address) for tenant in tenants.values() for address in tenant.devices["lan"].addresses}
    clients = [list(map(str, tenant.devices["lan"].host.addresses)) for tenant in tenants.values()]
    assert routers == {"10.0.1.1/24"}
    assert clients == [["10.0.1.2/24", f"10.200.{number}.2/32"] for number in (1, 2, 3)]


def test_the_sidecar_needs_no_kernel_namespace() -> None:
    """CAP_NET_ADMIN is enough for the sidecar: no kernel end is moved anywhere."""
    sidecar = config.load(ROOT / "configs/sidecar.toml").netns
    hosts = [device.host for netns in sidecar.values() for device in netns.devices.values() if device.host]
    assert [host.netns for host in hosts] == [None]
