"""Influence functions: curvature, linear systems, solvers, scores and their diagnostics."""
