"""Layer 3: header checks, routing table, fragments, options, error messages, output.

One instance of state for each namespace and family; the rules are written once, what differs between families is in the
wire codecs. No module here sends, drops or counts a drop: it gives back a verdict, and the pipeline acts.
"""
