"""Quality measures without a reference: one file a measure, each defines ``MEASURE`` (see ``models.quality_measure``)."""
