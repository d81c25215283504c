"""Calls that run in actors of a Ray cluster (`executor.OnRay`).

::

    coordinator: OnRay -> leases <- Ray -> actor -> LocalSlots -> call(context, *args)

Calls and answers are the messages of workers elsewhere (`execute.remote`), and so is the rule who runs
what: Ray starts the actors, carries bytes and tells of those that died. Nothing here imports the
library ray before it is used.
"""
