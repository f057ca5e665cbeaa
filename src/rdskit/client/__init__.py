"""What an application talks to: the database object, its pools, credentials, failover and replicas."""
