"""What is trained: predictor, heads, ensembles, baselines, and their export."""
