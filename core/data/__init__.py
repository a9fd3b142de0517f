"""Tables in, Datasets out."""
