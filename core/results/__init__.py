"""What finished runs are read back as: save, load, summary, headline. No torch."""
