"""The stack alone, without I/O and without a clock: ``Stack`` and what hangs on it.

Everything here is a function of (state, frame, now); see `vrouter.stack.stack`.
"""

from vrouter.stack.base.drop import DROP_TABLE, DropReason
from vrouter.stack.device import Device
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack

READ = 1
WRITE = 2
ERROR = 4

__all__ = ["DROP_TABLE", "ERROR", "READ", "WRITE", "Device", "DropReason", "Netns", "Stack"]
