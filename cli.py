"""`python cli.py ...` from a checkout does what the installed `wavenet` command does."""

from wavenet.__main__ import main

main()
