"""What every layer stands on: packets, drop reasons, counters, timers, random numbers, addresses, names, events.

Nothing here knows a protocol, does I/O or reads a clock.
"""
