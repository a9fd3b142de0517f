"""The service (store, queue, worker), the machine and texts."""
