"""How each product is shown."""
