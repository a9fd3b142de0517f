"""Specs of several tables trained together."""
