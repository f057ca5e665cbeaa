"""The only client-side importer of boto3, loaded on first use."""
