"""The only part of the client that imports boto3, on first use."""
