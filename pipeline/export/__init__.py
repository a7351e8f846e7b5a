"""Training data out of an archive: ``daguerre export``.

selection   which faces: the manifest's, one row each, filtered by SQL (DuckDB)
copies      perceptual hashes; groups of photos that are copies; what is a duplicate
splits      the split of each group, and the order of its faces
pictures    the pictures of one face: stored crops, or cut once more; degraded by a seed
shards      one shard's bytes: WebDataset, Parquet, Hugging Face
workplace   what of an export that was stopped is done
card        README.md of the data set
export      all of it, in order
"""
