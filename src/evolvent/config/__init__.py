"""From the request to one settled setup of a run, written once."""
