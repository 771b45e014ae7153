"""A trained model answers: its artifact, the handler (``inference.py``), engines, the server, a CSV."""
