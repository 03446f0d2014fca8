"""Scripts in packetdrill's language, run against a namespace in virtual time.

A script says what a program does (system calls), what a peer sends, and what the namespace is to send and when::

    0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0  bind(3, ..., ...) = 0
    +0  listen(3, 1) = 0
    +0  < S 0:0(0) win 32792 <mss 1000,nop,wscale 7>
    +0  > S. 0:0(0) ack 1 <mss 1460,nop,wscale 8>
    +.1 < . 1:1(0) ack 1 win 257
    +0  accept(3, ..., ...) = 4

`run_file` and `run_text` give a `Result`; ``vrouter packetdrill FILE…`` does the same at the command line. Scripts that
ask for what only Linux has (other commands than settings, calls and options that are not here) say so: ``linux only``.

The code between ``%{`` and ``}%`` is never executed: assertions about TCP_INFO are read and reckoned (`symbols`).
"""

from vrouter.testing.packetdrill.parser import parse
from vrouter.testing.packetdrill.runner import Result, run_file, run_text
from vrouter.testing.packetdrill.script import LinuxOnly, Script, ScriptError
from vrouter.testing.packetdrill.world import Settings

__all__ = ["LinuxOnly", "Result", "Script", "ScriptError", "Settings", "parse", "run_file", "run_text"]
