"""The command line: argument parsing and printing; it decides nothing.

    main       what is typed, to the verb that does it; exit codes
    verbs      the table of verbs        arguments  options and words by that table
    client     HTTP over the admin socket; no library, so that a probe costs little more than starting Python
    show       tables                    acting     netns, device, address, route, neighbor, sysctl, health
    ping       as ping(8)                capture    as tcpdump(8), with `packet_text` for one line per packet
    service    run and check             demo       a router with tenants, and what happens between them

Exit codes: 0; 1 runtime failure; 2 usage or configuration; 3 missing privilege; 4 no router; 130 Ctrl-C.
"""
