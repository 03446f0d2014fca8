"""TCP (RFC 9293): connections, listeners, and what their segments bring about.

A segment's way, file by file::

    input ─┬► (a connection)  segment ─► receive (data, SACK blocks) ─► ack (scoreboard, rack, prr, rate, cc) ─► output
           ├► (half open)     request ─► a connection that waits to be accepted
           ├► (a listener)    listen ─► request | cookie | fast open
           ├► (TIME-WAIT)     timewait
           └► (nobody)        reset

What is to be sent is put into the namespace's `state.TcpState.outbox`; the pipeline takes it from there. Sequence
numbers are unbounded inside (`seq`), so that they are compared as numbers.
"""
