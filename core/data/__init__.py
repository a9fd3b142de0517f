"""Reads and cleans tables of molecules, and audits them: files in, Datasets out."""
