"""The local RDS: the AWS API in front of real database servers. Knows nothing of the client."""
