"""The record: fragments of Parquet in a folder or bucket, and who may write them."""
