"""The rest of the metadata: sizes, names, licence, authors, sampling advice."""
