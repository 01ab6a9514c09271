"""The command line: the node as a program, and what talks to a running one."""

from .program import main as main
from .program import run_command as run_command
