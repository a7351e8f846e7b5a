"""What pictures are judged by: one file each.

A quality measure needs no reference and goes into every manifest row: ``MEASURE`` (``models.quality_measure``). A
metric judges a method on a test set: ``METRIC`` (``models.quality_metric``).
"""
