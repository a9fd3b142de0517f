"""Specs that apply a trained model."""
