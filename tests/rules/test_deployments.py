"""What is ready to run stays so: the configurations are valid, and what is said of them elsewhere is what they say.

Whether the image builds and runs takes a container engine; here is what can be seen without one.
"""

import re
import tomllib

import pytest

from tests.rules.tree import ROOT
from vrouter import config
from vrouter.cli.client import DEFAULT_ADMIN
from vrouter.cli.verbs import VERBS

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


MANIFESTS = sorted((ROOT / "deploy").glob("*.yaml"))
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SIDECAR = ROOT / "configs/sidecar.toml"
IN_IMAGE = "/etc/vrouter/vrouter.toml"


def commands(text: str) -> list[str]:
    """The `vrouter` commands that are run in a container by lines of `text`."""
    return re.findall(r"^[#$ ]*(?:podman|docker|kubectl)\b.* (vrouter [a-z].*?)(?: +#.*)?$", text, re.M)


def test_the_builder_gets_what_the_image_is_made_from() -> None:
    """Each file that the Dockerfile or the package's metadata names passes .dockerignore, and nothing else does."""
    copied = {
        name.removeprefix("./")
        for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.M)
        for name in line.split()[:-1]
    }
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", "setup.py", "vrouter", project["readme"], *project["license-files"]} == copied


def test_the_image_is_what_its_documentation_says() -> None:
    """The base is a choice, the user is none with privileges, and the health check is there."""
    build, run = DOCKERFILE.split("FROM ${BASE}")[1:]
    assert re.findall(r"^ARG BASE=.+", DOCKERFILE.split("FROM")[0], re.M)
    assert "strip --strip-unneeded" in build
    assert "install --quiet --no-compile " in build
    assert "compileall -q --invalidation-mode unchecked-hash /opt/vrouter/lib;" in build
    assert re.findall(r"^(USER|ENTRYPOINT|CMD) (.*)", run, re.M) == [
        ("USER", "65532:65532"),
        ("ENTRYPOINT", '["vrouter"]'),
        ("CMD", f'["run", "{IN_IMAGE}"]'),
    ]
    assert re.findall(r"^HEALTHCHECK .*CMD (.*)", run, re.M) == ['["vrouter", "health"]']
    assert f"install -d -m 1777 /empty{DEFAULT_ADMIN.rpartition('/')[0]};" in build


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_give_the_sidecar_what_it_needs_and_no_more(path) -> None:
    """One capability, the device, a read-only root but for the admin socket's directory, and configs/sidecar.toml."""
    text = path.read_text()
    assert re.findall(r"\bcap_drop: (.*)|\bdrop: (.*)", text) in ([("[ALL]", "")], [("", "[ALL]")])
    assert re.findall(r"\bcap_add: (.*)|\badd: (.*)", text) in ([("[NET_ADMIN]", "")], [("", "[NET_ADMIN]")])
    assert re.findall(r"^ *(?:read_only|readOnlyRootFilesystem): (\w+)", text, re.M) == ["true"]
    assert re.findall(r"no-new-privileges:true|allowPrivilegeEscalation: false", text) != []
    assert "privileged: true" not in text
    for needed in ("/dev/net/tun", DEFAULT_ADMIN.rpartition("/")[0], "configs/sidecar.toml", "image: vrouter:latest"):
        assert needed in text
    mounted = {f":{IN_IMAGE}:ro", f"mountPath: {IN_IMAGE.rpartition('/')[0]}, readOnly: true"}
    assert [place for place in mounted if place in text] != []


def test_the_kubelet_asks_what_the_sidecar_answers() -> None:
    """The probes go to the port of configs/sidecar.toml, and to paths that are there without the admin API."""
    manifest = (ROOT / "deploy/kubernetes-sidecar.yaml").read_text()
    port = str(config.load(SIDECAR).router.metrics).rpartition(":")[2]
    assert re.findall(r"containerPort: (\d+)|prometheus.io/port: \"(\d+)\"", manifest) == [("", port), (port, "")]
    asked = re.findall(r"(\w+)Probe: .*\n +httpGet: \{ path: (\S+), port: metrics \}", manifest)
    assert asked == [("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/healthz")]
    assert "--from-file=vrouter.toml=configs/sidecar.toml" in manifest


@pytest.mark.parametrize("path", [*MANIFESTS, ROOT / "docs/container.md"], ids=lambda path: path.name)
def test_commands_in_containers_exist(path) -> None:
    """Verbs are the command line's, and namespaces and addresses those of configs/sidecar.toml."""
    found = commands(path.read_text())
    assert found != []
    netns = config.load(SIDECAR).netns
    addresses = {
        str(address).partition("/")[0]
        for one in netns.values()
        for device in one.devices.values()
        for address in [*device.addresses, *(device.host.addresses if device.host else ())]
    }
    for command in found:
        words = command.split()
        assert words[1] in VERBS, command
        if words[1] == "ping":
            assert words[words.index("-n") + 1] in netns, command
            assert words[-1] in addresses, command
