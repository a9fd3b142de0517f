"""Plotly figures of results, and the HTML report."""
