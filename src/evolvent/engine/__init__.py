"""The search itself: the loop, what it stores, and what it may not cost."""
