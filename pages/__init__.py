"""The dashboard: what a browser shows of `core`."""
