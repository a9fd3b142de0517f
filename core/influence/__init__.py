"""Influence functions: curvature, linear systems, scores and how far they can be trusted."""
