"""What `dev.py` does, in modules: set-up, the server, its client, the demo. Nothing of it is needed by ComfyUI."""
