"""Quality measures without a reference: one file a measure, each defines ``MEASURE`` (``models.quality_measure``)."""
