"""Controlled comparisons of strategies over paired seeds."""
