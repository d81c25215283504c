"""Pages and figures of what is stored. Read only."""
