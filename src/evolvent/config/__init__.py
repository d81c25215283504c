"""From what the user said to one settled setup of a run, once."""
