"""The product with payload encryption on: everything works, and nothing shows."""
