"""The rapid spanning tree protocol (IEEE 802.1D-2004 clause 17) as a function of state, BPDU and tick."""
