"""Programs that travel with an exported network as ``predict.py``, one per kind of task.

Each is a file of its own that reads raw examples by the ``reading.json`` beside it; it needs torch,
numpy and the standard library, and nothing of evolvent.
"""
