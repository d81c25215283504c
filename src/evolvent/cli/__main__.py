"""Run the command line."""

from . import program

program()
