"""The registry: one file a method, each defines ``METHOD`` (see ``models.method``)."""
