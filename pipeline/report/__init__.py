"""The report of a sink: one HTML file that opens offline, and the whole list as CSV beside it.

page       write_report: one pass over the manifest, then the page
columns    manifest rows as numpy columns
tally      counts by status, failures by class, mean quality
picks      which photos are shown
listing    report.csv
pictures   thumbnails and face zooms within a budget of bytes
figures    what the page says of a photo and its faces
runs       what the page says of the runs
"""
