"""Plans of networks: one module per family of spaces, named as the space."""
