"""The results of a folder of packetdrill scripts, beside those of a kernel, as a table in Markdown.

::

    python -m tests.interop.packetdrill_table gtests/net/tcp [PACKETDRILL]

PACKETDRILL is Google's program; with it each script is run against this machine's kernel, too, in a namespace of its
own, which takes root and some minutes. ``docs/packetdrill.md`` has what this prints.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from vrouter.testing.packetdrill import Settings, run_file

DEFINES = {"CODE": "host_unreachable", "CMSG_LEVEL_IP": "SOL_IP", "CMSG_TYPE_RECVERR": "IP_RECVERR"}
COOKIES = {"TFO_COOKIE": "3021b9d889017eeb", "TFO_COOKIE_ZERO": "b7c12350a90dc8f5"}  # of the addresses below
ADDRESSES = "--local_ip=192.168.0.1 --remote_ip=192.0.2.1 --netmask_ip=255.255.0.0 --gateway_ip=192.168.0.1"


def by_kernel(program, path):
    """Whether this machine's kernel passes the script."""
    defines = " ".join(f"-D {name}={value}" for name, value in {**DEFINES, **COOKIES}.items())
    command = f"ip link set lo up; {program} --ip_version=ipv4 {ADDRESSES} {defines} --send_omit_free {path.name}"
    try:
        done = subprocess.run(
            ["unshare", "-mn", "sh", "-c", command], cwd=path.parent, capture_output=True, timeout=90, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def rows(folder, program):
    """(script, our outcome and where, the kernel's) of each."""
    for path in sorted(folder.rglob("*.pkt")):
        result = run_file(path, Settings(defines=dict(DEFINES)))
        ours = result.outcome
        if ours == "linux only":
            ours += f": {result.text.split(chr(10))[0]}"
        elif ours != "passed":
            ours += f", line {result.line}"
        kernel = "" if program is None else "passed" if by_kernel(program, path) else "failed"
        yield str(path.relative_to(folder)), ours, kernel


def main(folder, program=None):
    """Print the table, row by row, and the counts."""
    counts = Counter()
    tell("| Script | vrouter | kernel |\n|---|---|---|")
    for name, ours, kernel in rows(Path(folder), None if program is None else Path(program).resolve()):
        counts[ours.partition(":")[0].partition(",")[0], kernel] += 1
        tell(f"| {name} | {ours.replace('|', chr(92) + '|')} | {kernel} |")
    tell("")
    for (ours, kernel), count in sorted(counts.items()):
        tell(f"{count} scripts: vrouter {ours}" + (f", kernel {kernel}" if kernel else ""))


def tell(line):
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
