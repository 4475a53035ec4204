"""Audits that lie in a store (`s3://`, `gs://`, `az://`): worked on in a local copy, published object by object."""
