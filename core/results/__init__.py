"""Results of finished runs: save, load, summary and headline. Does not import torch."""
