"""Congestion control: one interface (`base`), the algorithms, and which of its window a sender has a right to
(`validation`).

``BY_NAME`` are the names of ``net.ipv4.tcp_congestion_control`` and of the socket option ``TCP_CONGESTION``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vrouter.stack.l4.tcp.cc.base import Congestion
from vrouter.stack.l4.tcp.cc.bbr import BBR
from vrouter.stack.l4.tcp.cc.cubic import CUBIC
from vrouter.stack.l4.tcp.cc.reno import RENO

BY_NAME: Final[Mapping[str, Congestion]] = MappingProxyType({cc.name: cc for cc in (CUBIC, RENO, BBR)})
