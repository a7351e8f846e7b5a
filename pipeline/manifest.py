"""The manifest's rows: one explicit schema, one row a photo (documented for its readers in docs/manifest.md)."""

import pyarrow as pa

FIGURES = pa.map_(pa.string(), pa.float64())

FACE = pa.struct(
    [
        ("index", pa.int32()),
        ("page", pa.int32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("box", pa.list_(pa.float64(), 4)),
        ("landmarks", pa.list_(pa.float64())),  # 10 figures, x then y, or null
        ("score", pa.float64()),
        ("residual", pa.float64()),
        ("side", pa.float64()),
        ("method", pa.string()),
        ("rule", pa.string()),
        ("strength", pa.float64()),
        ("paste", pa.string()),
        ("seed", pa.int64()),
        ("affine", pa.list_(pa.float64())),  # 6 figures, the 2 x 3 matrix row by row, or null
        ("before", FIGURES),
        ("after", FIGURES),
        ("figures", FIGURES),
    ]
)

SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("mtime", pa.timestamp("us", "UTC")),
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("depth", pa.int32()),
        ("pages", pa.int32()),
        ("profile", pa.string()),
        ("tone", pa.string()),
        ("status", pa.string()),
        (
            "error",
            pa.struct(
                [
                    ("stage", pa.string()),
                    ("class", pa.string()),
                    ("message", pa.string()),
                    ("attempts", pa.int32()),
                    ("retryable", pa.bool_()),
                ]
            ),
        ),
        ("target", pa.string()),  # the result's path below photos/, whether or not there is one
        ("result_uri", pa.string()),
        ("result_sha256", pa.string()),
        (
            "output",
            pa.struct(
                [
                    ("way", pa.string()),
                    ("format", pa.string()),
                    ("scale", pa.int32()),
                    ("outside", pa.int32()),
                    ("note", pa.string()),
                ]
            ),
        ),
        ("detector", pa.string()),
        ("faces", pa.list_(FACE)),
        ("before", FIGURES),
        ("after", FIGURES),
        ("seconds", FIGURES),
        ("run_id", pa.string()),
        ("recipe", pa.string()),
        ("weights", pa.map_(pa.string(), pa.string())),
        ("code_version", pa.string()),
    ]
)
