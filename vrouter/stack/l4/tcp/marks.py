"""What one acknowledgement turned out to be, as bits that `ack` and `loss` hand on (Linux's FLAG_*)."""

from __future__ import annotations

from typing import Final

CARRIED_DATA: Final = 0x1
WINDOW_CHANGED: Final = 0x2
DATA_ACKED: Final = 0x4
SYN_ACKED: Final = 0x8
RESENT_ACKED: Final = 0x10  # of what is acknowledged, something was sent more than once
DATA_SACKED: Final = 0x20
ECE: Final = 0x40
RESENT_LOST: Final = 0x80  # something that was sent again is lost again
ADVANCED: Final = 0x100  # snd_una moved
ORIGINAL: Final = 0x200  # something that was sent once, and before the timeout, has arrived
DSACKED: Final = 0x400
DSACKED_PROBE: Final = 0x800
SET_TIMER: Final = 0x1000
RENEGED: Final = 0x2000  # what stands first now was SACKed

NOT_DUPLICATE: Final = CARRIED_DATA | WINDOW_CHANGED | DATA_ACKED | SYN_ACKED
ALERT: Final = DATA_SACKED | ECE | DSACKED
