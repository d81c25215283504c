"""The store as pages and figures; read only."""
