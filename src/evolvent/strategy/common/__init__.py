"""Code shared by several strategies."""
