"""Our speed and memory beside diffusers', the same work in the same process. `python3 dev.py bench` prints the table."""
