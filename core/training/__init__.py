"""How a model is trained: loop, session, checkpoints, masking, pre-training loss."""
