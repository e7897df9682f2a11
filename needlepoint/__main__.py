"""`python -m needlepoint`."""

from needlepoint.cli import main

main()
