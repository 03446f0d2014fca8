"""Tools for testing networks: frame builders and matchers."""
