"""From files to inputs: the same code in a search and beside an exported network.

`evolvent.deliver.script` copies the source of these modules into ``predict.py``, which has no evolvent.
So they import each other, the standard library and numpy, at their top, and nothing else.
"""
