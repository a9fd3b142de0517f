"""Training: loop, session, checkpoints, masking, pre-training loss."""
