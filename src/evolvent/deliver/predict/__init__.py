"""The ``predict.py`` of an exported network, one script per kind of data.

They are copied, never imported by a run: each stands alone with the standard library, numpy and torch,
beside ``model.py``, ``weights.safetensors`` and ``reading.json`` (`Task.reading`). What reads a CSV
file is the same text in all of them, and a test keeps it so.
"""
