"""How each family of spaces becomes a network: one module per family, named as its space."""
