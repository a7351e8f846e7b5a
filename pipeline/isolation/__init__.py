"""Stages in a child process: a photo that ends its process, or hangs, costs only itself. Nothing here knows Ray."""
