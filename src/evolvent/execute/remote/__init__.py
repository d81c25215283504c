"""Calls that run in workers on other machines, which come and ask for them (`Served`).

::

    coordinator: Served -> leases <- HTTP <- agent -> LocalSlots -> call(context, *args)

`wire` turns calls and answers into bytes, `data` sends what a worker needs once, `leases` decides who
runs what, `coordinator` is the server, `agent` the process that asks. Nothing is pickled between
machines.
"""
