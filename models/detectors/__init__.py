"""The registry: one file a detector, each defines ``DETECTOR`` (see ``models.detector``)."""
