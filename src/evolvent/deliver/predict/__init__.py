"""The ``predict.py`` of an exported network, one program per kind of data.

A run never imports them. `evolvent.deliver.script` makes one file of a program and of what it imports
relatively (what the programs share, and `evolvent.task.portable`, by which the search read the same
data): it stands alone with the standard library, numpy and torch, beside ``model.py``,
``weights.safetensors`` and ``reading.json`` (`Task.reading`).
"""
