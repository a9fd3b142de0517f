"""Forms that yield a spec."""
