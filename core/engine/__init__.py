"""The engine: what a spec is, who makes it, what is kept. It knows no chemistry and no torch."""
