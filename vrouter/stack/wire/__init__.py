"""Codecs of the packet formats: stateless functions over bytes, one module per header.

Each module offers two levels. *Accessors* read or write one field at ``(buf, off)``, judge nothing and make no
object; they are safe only after the check of their layer has seen that the header lies inside the packet. *Values*
are small slotted dataclasses with ``parse`` and ``emit`` for control traffic; ``parse`` takes any bytes, never
raises, and returns None for what is malformed.

An IP address is an int, a MAC address 6 bytes, an offset an index into the buffer. ``end`` is always the index after
the last byte.
"""
