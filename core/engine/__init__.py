"""The engine: specs, making, the store, the job queue. Independent of chemistry and torch."""
