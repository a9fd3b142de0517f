"""Models: backbones, fine-tuning methods, predictor, heads, ensembles, baselines, and their export."""
