"""Benchmarks: vrouter beside the kernel, the project's own copiers and, where there are any, other peers.

    python -m benchmarks --peers DIR --output benchmarks/RESULTS.md      `make bench`
    python -m benchmarks --parts hosts,goodput                           some of it: `make bench PARTS=hosts,goodput`
    python -m benchmarks --smoke                                         `make bench-smoke`

The first measures and writes a table, the second asserts results (what arrived, which bytes, which counters) and never
a time. Both need root, and touch nothing but kernel namespaces of their own, whose names carry the process id.

    machine             cores, pinning, processor time, what the machine is
    commands            programs that are run, started and ended
    sites               one router or copier between two kernel namespaces; the project's own
    peers               the same by the scripts of another directory
    copier, udp_rate    programs: copy frames between two TAPs; send and count datagrams
    traffic             what is measured at a site
    hosts               ends of TCP beside each other; tcp_services, tcp_client: programs at either end
    goodput             TCP over bad wires beside the kernel's; relay: a program that is such a wire
    connections         many connections: memory, rate, leaks
    startup             from the start of the process to readiness; memory; idle
    namespaces          cost of namespaces here; kernel_namespaces: in the kernel; taps: of opening and closing TAPs
    stages              cost of each stage of a packet's way; tcp_stages: of a TCP superframe's
    routes              a full table: loaded, looked up in, replaced; full_table makes it
    report, report_tcp  the results file, of tables
"""
