"""Message passing over molecular graphs: GCN, GIN, GINE."""
