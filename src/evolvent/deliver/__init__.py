"""After the search: final trainings, the card, and a network that needs nothing but torch."""
